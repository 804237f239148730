/**
 * Keeping secrets out of what is printed. Backends do so themselves; this is for what slips through, such as the errors of a client
 * library that quote a URL.
 *
 * @module
 */

/** What stands in place of a secret. */
export const hidden = "***";

const secretName = /PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|(?:API|ACCESS|TLS)_?KEY/i;

// A shorter value would blank out words that are no secret.
const leastLength = 4;

/**
 * Whether a variable of that name holds a secret.
 *
 * @param name The variable's name.
 * @returns Whether its value must not be shown.
 */
export function isSecret(name: string): boolean {
  return secretName.test(name);
}

/**
 * Hides the credentials of URLs in a text.
 *
 * @param text Any text.
 * @returns The text with `***` in place of user and password.
 */
export function hideCredentials(text: string): string {
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#@'"`]*(?:@[^\s/?#@'"`]*)*@/gi, `$1${hidden}@`)
    .replaceAll(/([?&](?:password|token|secret|auth|key)=)[^&\s'"`]+/gi, `$1${hidden}`);
}

/**
 * Makes a function that hides secrets in texts.
 *
 * @param variables The variables of the process.
 * @returns It hides the values of secret variables, the passwords in the others, and the credentials of any URL.
 */
export function redactor(variables: Readonly<Record<string, string | undefined>>): (text: string) => string {
  const secrets = new Set<string>();
  const add = (value: string | undefined) => {
    if (value === undefined || value.length < leastLength) return;
    secrets.add(value);
    secrets.add(encodeURIComponent(value));
  };
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) continue;
    if (isSecret(name)) add(value);
    for (const [, password] of value.matchAll(/:\/\/[^\s/?#:@]*:([^\s/?#]+)@/g)) {
      add(password);
      add(decoded(password));
    }
  }
  // The longest first: one secret may be part of another.
  const ordered = [...secrets].sort((a, b) => b.length - a.length);
  return (text) => ordered.reduce((rest, secret) => rest.replaceAll(secret, hidden), hideCredentials(text));
}

function decoded(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return undefined; // not encoded, so it is known as it stands
  }
}
