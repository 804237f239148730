/**
 * What the doctor finds.
 *
 * @module
 */

import type { Finding } from "@abe/mq";

/** A part of the examination, with what it found. */
export interface Section {
  /** What was looked at. */
  readonly title: string;
  /** Facts worth seeing, not good or bad. */
  readonly facts: readonly string[];
  /** What is well and what is not. */
  readonly findings: readonly Finding[];
}

/** A section in the making. */
export class Notes implements Section {
  readonly title: string;
  readonly facts: string[] = [];
  readonly findings: Finding[] = [];

  /**
   * @param title What is looked at.
   */
  constructor(title: string) {
    this.title = title;
  }

  /** Something worth seeing. */
  fact(text: string): void {
    this.facts.push(text);
  }

  /** Something that is well. */
  ok(message: string): void {
    this.findings.push({ level: "ok", message });
  }

  /** Something that may cost messages. */
  warning(message: string, mend: string): void {
    this.findings.push({ level: "warning", message, mend });
  }

  /** Something that costs messages, or stops the queue. */
  problem(message: string, mend?: string): void {
    this.findings.push({ level: "problem", message, ...(mend !== undefined && { mend }) });
  }
}
