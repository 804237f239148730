/**
 * Reads the JUnit files that the test runners of Deno, Bun and Node write.
 *
 * @module
 */

/** One test of a file, without its inner ones. */
export interface TestCase {
  /** Its name, behind those of the suites around it. */
  readonly name: string;
  /** How it went. */
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, where the runner tells. */
  readonly reason: string;
}

// The runners escape `<` in text and `"` in attributes, so a tag is what this finds; `>` may stand in an attribute.
const tag = /<(\/?)(testsuite|testcase|failure|error|skipped)\b((?:\s+[\w:.-]+="[^"]*")*)\s*(\/?)>/g;
const attribute = /([\w:.-]+)="([^"]*)"/g;

/**
 * The tests in a JUnit file. A suite is no test, also where a runner (Deno) writes a test case for it.
 *
 * @param xml The file's text; a runner that was killed leaves an empty or cut one.
 * @returns The tests.
 */
export function parseJunit(xml: string): TestCase[] {
  const cases: TestCase[] = [];
  const suites: string[] = [];
  let current: { name: string; outcome: TestCase["outcome"]; reason: string } | undefined;
  for (const [, slash, name, text = "", single] of xml.matchAll(tag)) {
    const closes = slash === "/";
    const attributes = closes ? {} : readAttributes(text);
    if (name === "testsuite") {
      if (closes) suites.pop();
      else if (single !== "/") suites.push(isFile(attributes) ? "" : attributes["name"] ?? "");
    } else if (name === "testcase") {
      if (!closes) {
        const path = [...suites.filter((suite) => suite !== ""), attributes["name"] ?? ""];
        current = { name: path.join(" > "), outcome: "passed", reason: "" };
        cases.push(current);
      }
      if (closes || single === "/") current = undefined;
    } else if (!closes && current !== undefined) {
      current.outcome = name === "skipped" ? "skipped" : "failed";
      if (name === "skipped") current.reason = attributes["message"] ?? "";
    }
  }
  return withoutParents(cases);
}

// Bun and Deno write a suite for each file, and Deno one for its own implementation of `node:test`.
function isFile(attributes: Readonly<Record<string, string>>): boolean {
  const name = attributes["name"] ?? "";
  return name === attributes["file"] || /^(?:\.{0,2}\/|ext:|file:)/.test(name);
}

// Deno writes `suite > test` beside `suite`.
function withoutParents(cases: readonly TestCase[]): TestCase[] {
  const parents = new Set<string>();
  for (const { name } of cases) {
    for (let at = name.lastIndexOf(" > "); at > 0; at = name.lastIndexOf(" > ", at - 1)) parents.add(name.slice(0, at));
  }
  return cases.filter(({ name }) => !parents.has(name));
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", "#10": "\n" };

function readAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [, name = "", value = ""] of text.matchAll(attribute)) {
    attributes[name] = value.replace(/&(#?\w+);/g, (whole, entity: string) => entities[entity] ?? whole);
  }
  return attributes;
}
