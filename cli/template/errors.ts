/**
 * Errors that `@abe/mq` knows by their marks, without importing it.
 *
 * @module
 */

const mark: unique symbol = Symbol.for("@abe/mq/MessageQueueError") as never;
const configMark: unique symbol = Symbol.for("@abe/mq/ConfigError") as never;

/**
 * An error of the broker. With `retryable` the queue tries again, as after a lost connection.
 *
 * @param code `connection`, `storage`, `full`, ...: what programs test.
 * @param message What failed and what would mend it.
 * @param options Whether to try again, and the cause.
 * @returns The error.
 */
export function brokerError(
  code: string,
  message: string,
  options: { readonly retryable?: boolean; readonly cause?: unknown } = {},
): Error {
  const { retryable = false, cause } = options;
  return marked(new Error(message, { cause }), "MessageQueueError", { [mark]: true, code, retryable });
}

/**
 * Settings that are missing or wrong.
 *
 * @param problems Each names its variable; none holds a secret.
 * @returns The error.
 */
export function configError(problems: readonly string[]): Error {
  const message = `Cannot use these settings: ${problems.join("; ")}`;
  const marks = { [mark]: true, [configMark]: true, code: "config", retryable: false, problems };
  return marked(new Error(message), "ConfigError", marks);
}

function marked(error: Error, name: string, members: object): Error {
  return Object.assign(error, { name }, members);
}
