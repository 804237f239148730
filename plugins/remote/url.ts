/**
 * Which URLs code may be loaded from.
 *
 * @module
 */

import { ConfigError, MessageQueueError } from "../../core/errors.ts";

/** What kind of machine an address stands for, as far as the address itself tells. */
export type AddressKind = "public" | "loopback" | "private" | "forbidden";

/**
 * Classifies a host by its address; a name is taken for public unless it is one by convention that is not.
 *
 * @param hostname As `URL` gives it: lower case, IPv4 in dotted form, IPv6 in brackets.
 * @returns `forbidden` for link-local (where clouds keep credentials), multicast and unspecified addresses.
 */
export function addressKind(hostname: string): AddressKind {
  const host = hostname.replace(/\.$/, "");
  if (host === "localhost" || host.endsWith(".localhost")) return "loopback";
  if (/\.(?:local|internal|lan|home\.arpa)$/.test(host)) return "private";
  if (host.startsWith("[")) return ipv6Kind(host.slice(1, -1));
  return /^\d+\.\d+\.\d+\.\d+$/.test(host) ? ipv4Kind(host.split(".").map(Number)) : "public";
}

// The special-purpose registries of RFC 6890 as far as they matter here.
function ipv4Kind([a = 0, b = 0, c = 0]: readonly number[]): AddressKind {
  if (a === 127) return "loopback";
  if (a === 0 || (a === 169 && b === 254) || a >= 224) return "forbidden";
  if (a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)) return "private";
  // Carrier-grade NAT, where some clouds keep their metadata service, and addresses for tests.
  if ((a === 100 && b >= 64 && b < 128) || (a === 198 && (b === 18 || b === 19))) return "private";
  if (a === 192 && b === 0 && c === 0) return "private";
  return "public";
}

function ipv6Kind(address: string): AddressKind {
  const groups = ipv6Groups(address);
  const [first = 0] = groups;
  const low = groups.slice(6);
  const embedded = () => ipv4Kind(low.flatMap((group) => [group >> 8, group & 255]));
  if (groups.slice(0, 5).every((group) => group === 0)) {
    if (groups[5] === 0xffff) return embedded();
    if (groups[5] === 0) return groups[6] === 0 && groups[7] === 1 ? "loopback" : "forbidden";
  }
  if (first === 0x64 && groups[1] === 0xff9b) return embedded();
  if ((first & 0xffc0) === 0xfe80 || first >= 0xff00) return "forbidden";
  return (first & 0xfe00) === 0xfc00 || (first & 0xffc0) === 0xfec0 ? "private" : "public";
}

function ipv6Groups(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const parse = (part: string) => part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const before = parse(head);
  if (tail === undefined) return before;
  const after = parse(tail);
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

/** Hosts that code may come from. */
export interface HostList {
  /** Whether a URL's host is on it. */
  has(url: URL): boolean;
  /** As it was given, for messages. */
  readonly text: string;
}

/**
 * Reads a list of hosts.
 *
 * @param hosts Each a host (`example.com`, any port), a host with a port (`127.0.0.1:8000`), or `*.example.com` for all below it.
 * @returns The list.
 * @throws {ConfigError} When one of them is not a host.
 */
export function parseHosts(hosts: readonly string[]): HostList {
  const tests: ((url: URL) => boolean)[] = [];
  const problems: string[] = [];
  for (const host of hosts.map((each) => each.trim()).filter((each) => each !== "")) {
    const below = host.startsWith("*.");
    const plain = below ? host.slice(2) : host;
    let url: URL | undefined;
    // Through `URL`, so that both sides are written alike: punycode, lower case, short forms of addresses.
    if (!/[\s/?#@\\*]/.test(plain) && URL.canParse(`http://${plain}/`)) url = new URL(`http://${plain}/`);
    if (url === undefined || url.hostname === "") {
      problems.push(`${JSON.stringify(host)} in the list of plugin hosts (ABE_MQ_PLUGIN_HOSTS) is not a host`);
      continue;
    }
    const { hostname } = url;
    const port = /:(\d+)$/.exec(plain)?.[1];
    tests.push((other) =>
      (below ? other.hostname.endsWith(`.${hostname}`) : other.hostname === hostname) &&
      (port === undefined || portOf(other) === port)
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { has: (url) => tests.some((test) => test(url)), text: hosts.join(", ") || "none" };
}

function portOf(url: URL): string {
  return url.port || (url.protocol === "https:" ? "443" : "80");
}

/**
 * Checks a URL before anything is fetched from it.
 *
 * @param url The URL.
 * @param options Who wants it, and the hosts allowed.
 * @returns The URL without its fragment.
 * @throws {MessageQueueError} `plugin_refused`, naming the rule.
 */
export function checkRemoteUrl(
  url: URL,
  options: { readonly from?: URL | undefined; readonly hosts?: HostList | undefined } = {},
): URL {
  const { from, hosts } = options;
  const refuse = (reason: string) => {
    const by = from === undefined ? "" : ` (wanted by ${showUrl(from)})`;
    return new MessageQueueError("plugin_refused", `Cannot load ${showUrl(url)}${by}: ${reason}`);
  };
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw refuse(`code from a URL may only import \`https:\` URLs, not \`${url.protocol}\``);
  }
  if (url.username !== "" || url.password !== "") {
    throw refuse("a URL of code must not hold a user name or password, as URLs end up in logs and stack traces");
  }
  const kind = addressKind(url.hostname);
  if (url.protocol === "http:" && kind !== "loopback") {
    throw refuse(
      from?.protocol === "https:"
        ? "the way leads from `https:` down to `http:`"
        : "`http:` is for loopback alone (127.0.0.1, ::1, localhost), as anybody on the way could change the code; use `https:`",
    );
  }
  if (kind === "forbidden") {
    throw refuse("the address is link-local, multicast or unspecified, where no code is served");
  }
  if (from !== undefined && kind !== "public" && kind !== addressKind(from.hostname)) {
    throw refuse(`what comes from another network must not lead to a ${kind} address`);
  }
  if (from?.protocol === "https:" && url.protocol === "http:") {
    throw refuse("the way leads from `https:` down to `http:`");
  }
  if (hosts !== undefined && !hosts.has(url)) {
    throw refuse(`its host is not among those allowed (ABE_MQ_PLUGIN_HOSTS or the hosts option: ${hosts.text})`);
  }
  const bare = new URL(url.href);
  bare.hash = "";
  return bare;
}

/**
 * A URL as it may be shown: without user name, password, fragment, and the values of its query, which may be a token.
 *
 * @param url The URL.
 * @returns Text for messages.
 */
export function showUrl(url: URL | string): string {
  if (typeof url === "string") {
    if (!URL.canParse(url)) return hideCredentials(url);
    url = new URL(url);
  }
  if (url.protocol === "data:") return "data:…";
  const shown = new URL(url.href);
  shown.hash = "";
  if (shown.username !== "" || shown.password !== "") shown.username = shown.password = "";
  const query = shown.search === "" ? "" : "?…";
  shown.search = "";
  return shown.href + query;
}

/**
 * Takes user names and passwords of URLs out of a text that others wrote.
 *
 * @param text Such as an error's message.
 * @returns The text with `***` in their place.
 */
export function hideCredentials(text: string): string {
  return text.replace(/(:\/\/)[^\s/?#@"'`]*(?:@[^\s/?#@"'`]*)*@/g, "$1***@");
}
