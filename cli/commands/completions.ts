/**
 * `mq completions`.
 *
 * @module
 */

import { buildCommand, type Command } from "@stricli/core";
import type { Cli } from "../context.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** What a shell asks for completions by: `mq --complete WORD...`, the last word being unfinished. */
export const completeFlag = "--complete";

const scripts: Readonly<Record<Shell, string>> = {
  bash: `_mq() {
  local IFS=$'\\n'
  COMPREPLY=($(mq ${completeFlag} "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _mq mq`,
  zsh: `#compdef mq
_mq() {
  local -a found
  found=("\${(@f)$(mq ${completeFlag} "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a found
}
compdef _mq mq`,
  fish: `complete -c mq -f -a '(mq ${completeFlag} (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'`,
};

function runCompletions(this: Cli, _flags: Record<never, never>, shell: Shell): void {
  this.print(scripts[shell]);
}

function parseShell(text: string): Shell {
  const shell = shells.find((each) => each === text);
  if (shell === undefined) throw new TypeError(`${JSON.stringify(text)} is no shell: write ${shells.join(", ")}`);
  return shell;
}

/** `mq completions`. */
export const completions: Command<Cli> = buildCommand<Record<never, never>, [shell: Shell], Cli>({
  func: runCompletions,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{
        placeholder: shells.join("|"),
        brief: "The shell",
        parse: parseShell,
        proposeCompletions: (partial) => shells.filter((shell) => shell.startsWith(partial)),
      }],
    },
    flags: {},
  },
  docs: {
    brief: "Print what makes a shell complete the command",
    fullDescription: [
      "For a command named mq, as by `deno install -gA -n mq jsr:@abe/mq-cli`:",
      "",
      "  mq completions bash >> ~/.bashrc",
      "  mq completions zsh  >> ~/.zshrc",
      "  mq completions fish > ~/.config/fish/completions/mq.fish",
    ].join("\n"),
  },
});
