/**
 * Stores that several backends of this process share by their name.
 *
 * @module
 */

import type { Log } from "./log.ts";

const stores = new Map<string, { readonly log: Log; users: number }>();

/**
 * Joins a store, which lives as long as somebody uses it. Its options are those of the first.
 *
 * @param name Its name.
 * @param make Makes it when there is none.
 * @returns Its messages.
 */
export function joinStore(name: string, make: () => Log): Log {
  const store = stores.get(name) ?? { log: make(), users: 0 };
  store.users++;
  stores.set(name, store);
  return store.log;
}

/**
 * Leaves a store.
 *
 * @param name Its name.
 * @returns How many still use it.
 */
export function leaveStore(name: string): number {
  const store = stores.get(name);
  if (store === undefined) return 0;
  if (--store.users === 0) stores.delete(name);
  return store.users;
}
