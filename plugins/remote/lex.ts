/**
 * Finding what a module imports, with a real lexer.
 *
 * @module
 */

import { describeError, MessageQueueError } from "../../core/errors.ts";
import { runtime, stripTypes } from "../../core/runtime.ts";
import { showUrl } from "./url.ts";

/** An import, or another place that must be rewritten. */
export type Place =
  /** A specifier with its quotes, from `start` to `end`. */
  | {
    readonly kind: "import";
    readonly specifier: string;
    readonly start: number;
    readonly end: number;
    /** The value of the attribute `type`. */
    readonly type?: string;
    /** Whether it is loaded only when the code gets there. */
    readonly dynamic: boolean;
  }
  /** The word `import` of an `import(...)` whose specifier is computed. */
  | { readonly kind: "computed"; readonly start: number; readonly end: number }
  /** `import.meta.url`. */
  | { readonly kind: "url"; readonly start: number; readonly end: number };

/** A module as lexed. */
export interface Lexed {
  /** What runs: the source, with types blanked out where the runtime can. Positions are those of the source. */
  readonly code: string;
  /** Whether types are still in it. */
  readonly typed: boolean;
  /** The places, in order. */
  readonly places: readonly Place[];
}

interface LexerImport {
  readonly type: "static" | "reexport-star" | "dynamic" | "import-meta";
  readonly specifier?: string | null | undefined;
  readonly start: number;
  readonly end: number;
  readonly importStart: number;
  readonly importEnd: number;
  readonly attributes?: readonly (readonly [string, string])[] | null;
  readonly attributesStart?: number;
  readonly typeOnly?: boolean;
  readonly probablyTypeOnly?: boolean;
  readonly glob?: boolean;
  readonly phase?: string | null;
}

/**
 * Finds the imports of a module.
 *
 * @param source Its text.
 * @param options Whether it is TypeScript, and how it is named in messages.
 * @returns The places to rewrite.
 * @throws {MessageQueueError} `plugin_failed` when it does not parse.
 */
export async function lex(
  source: string,
  options: { readonly typed: boolean; readonly url: URL },
): Promise<Lexed> {
  const { init, parse } = await import("es-module-lexer");
  await init();
  // Blanking types out leaves positions as they are. Bun has no such function but runs TypeScript itself; the lexer then takes its best
  // guess at what is only a type, and a module that is fetched too many does no harm.
  const plain = options.typed ? strip(source, options.url) : source;
  const code = plain ?? source;
  let imports: readonly LexerImport[];
  try {
    [imports] = parse(code) as unknown as [readonly LexerImport[]];
  } catch (error) {
    throw unparsable(options.url, error, source);
  }
  const places: Place[] = [];
  for (const each of imports) {
    const place = placeOf(each, code, options.url, plain === undefined);
    if (place !== undefined) places.push(place);
  }
  return { code, typed: plain === undefined, places: places.sort((a, b) => a.start - b.start) };
}

function placeOf(each: LexerImport, code: string, url: URL, guess: boolean): Place | undefined {
  if (each.type === "import-meta") {
    const rest = /^\s*\.\s*url\b(?!\s*(?:=[^=]|\())/.exec(code.slice(each.end));
    return rest === null ? undefined : { kind: "url", start: each.start, end: each.end + rest[0].length };
  }
  if (each.typeOnly) return undefined;
  if (each.phase !== null && each.phase !== undefined) {
    throw new MessageQueueError(
      "plugin_refused",
      `Cannot load ${showUrl(url)}: line ${
        lineOf(code, each.importStart)
      } has an \`import ${each.phase}\`, which cannot be followed`,
    );
  }
  if (each.type !== "dynamic") {
    const { specifier, start, end } = each;
    if (typeof specifier !== "string") return undefined;
    const type = each.attributes?.find(([name]) => name === "type")?.[1];
    // The span of a static import has no quotes.
    return {
      kind: "import",
      specifier,
      start: start - 1,
      end: end + 1,
      dynamic: false,
      ...(type !== undefined && { type }),
    };
  }
  if (guess && each.probablyTypeOnly) return undefined;
  if (typeof each.specifier !== "string" || each.glob) {
    return { kind: "computed", start: each.importStart, end: each.importStart + "import".length };
  }
  // The span of a dynamic one reaches over quotes and what stands around them.
  const span = code.slice(each.start, each.end);
  const lead = /^\s*/.exec(span)?.[0].length ?? 0;
  const type = dynamicType(code, each);
  return {
    kind: "import",
    specifier: each.specifier,
    start: each.start + lead,
    end: each.start + span.trimEnd().length,
    dynamic: true,
    ...(type !== undefined && { type }),
  };
}

// The options of a dynamic import are an expression; only the literal form counts, and another kind of module is then refused by the
// runtime itself.
function dynamicType(code: string, each: LexerImport): string | undefined {
  if (each.attributesStart === undefined || each.attributesStart < 0) return undefined;
  const options = code.slice(each.attributesStart, each.importEnd > each.attributesStart ? each.importEnd : undefined);
  return /^\s*\{\s*(?:with|"with"|'with')\s*:\s*\{\s*(?:type|"type"|'type')\s*:\s*["'](\w+)["']/.exec(options)?.[1];
}

function strip(source: string, url: URL): string | undefined {
  try {
    const stripped = stripTypes(source);
    return stripped?.length === source.length ? stripped : undefined;
  } catch (error) {
    // Deno and Bun also run what cannot just be blanked out, such as enums.
    if (runtime === "deno") return undefined;
    throw unparsable(url, error, source);
  }
}

function unparsable(url: URL, error: unknown, source: string): MessageQueueError {
  const index = (error as { idx?: unknown }).idx;
  const line = typeof index === "number" ? `:${lineOf(source, index)}` : "";
  return new MessageQueueError(
    "plugin_failed",
    `Cannot load ${showUrl(url)}${line}: its code does not parse. ${describeError(error).trim()}`,
    { cause: error },
  );
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
