/** Whether a key matches an AMQP topic pattern: `*` is one word, `#` any number of words. */
export function matches(pattern: string, key: string): boolean {
  return matchWords(pattern.split("."), key.split("."));
}

function matchWords([first, ...others]: string[], words: string[]): boolean {
  if (first === undefined) return words.length === 0;
  if (first === "#") {
    return matchWords(others, words) || (words.length > 0 && matchWords([first, ...others], words.slice(1)));
  }
  return words.length > 0 && (first === "*" || first === words[0]) && matchWords(others, words.slice(1));
}
