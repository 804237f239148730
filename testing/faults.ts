/**
 * Putting faults between a queue and its backend.
 *
 * @module
 */

import type { BackendReceiveOptions, MessageQueueBackend, Receiver } from "../mod.ts";

/**
 * Makes a backend that is another one but for some members.
 *
 * @param backend The other one.
 * @param changes What is different.
 * @returns The backend.
 */
export function changed(backend: MessageQueueBackend, changes: Partial<MessageQueueBackend>): MessageQueueBackend {
  return new Proxy(backend, {
    get(target, name) {
      if (Object.hasOwn(changes, name)) return Reflect.get(changes, name);
      const value: unknown = Reflect.get(target, name, target);
      // A class with private members works on itself alone, not on its proxy.
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/**
 * Makes a backend whose receivers are others but for some members.
 *
 * @param backend The backend.
 * @param change Is given each receiver that is opened; returns what is different about it.
 * @returns The backend.
 */
export function withReceiver(
  backend: MessageQueueBackend,
  change: (receiver: Receiver, options: BackendReceiveOptions) => Partial<Receiver>,
): MessageQueueBackend {
  return changed(backend, {
    async receive(options) {
      if (backend.receive === undefined) throw new TypeError("The backend has no receive");
      const receiver = await backend.receive(options);
      return {
        pull: (pull) => receiver.pull(pull),
        settle: (settlements) => receiver.settle(settlements),
        extend: (claims, leaseMs) => receiver.extend(claims, leaseMs),
        close: () => receiver.close(),
        ...change(receiver, options),
      };
    },
  });
}
