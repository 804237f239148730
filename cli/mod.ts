#!/usr/bin/env -S deno run -A
/**
 * The command line of `@abe/mq`: publish and consume messages, look after groups and dead letters, plugins, and what a backend keeps of
 * what it promises.
 *
 * Run it by `deno run -A jsr:@abe/mq-cli`; `--help` tells the rest.
 *
 * @module
 */

import process from "node:process";
import { main } from "./main.ts";

export { main };

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
