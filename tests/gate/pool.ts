/**
 * Runs several things at once, but not too many.
 *
 * @module
 */

/**
 * Calls a function for each item, a few at a time.
 *
 * @param items What to work on, in this order.
 * @param jobs How many at once.
 * @param work What to do with each.
 * @returns The results, in the items' order.
 */
export async function pool<T, R>(items: readonly T[], jobs: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, worker));
  return results;
}
