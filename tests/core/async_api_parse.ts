/** Reads an AsyncAPI document from standard input, and writes what AsyncAPI's parser finds wrong with it. */

import { text } from "node:stream/consumers";
import process from "node:process";
import { DiagnosticSeverity, Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
const errors = diagnostics.filter((each) => each.severity === DiagnosticSeverity.Error);
if (document === undefined && errors.length === 0) throw new Error("The parser made nothing of it");
console.log(JSON.stringify(errors.map(({ code, message, path }) => ({ code, message, path }))));
