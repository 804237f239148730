/**
 * A registry as JSR is one: its own face (https://jsr.io/docs/api) and the one for npm's clients (https://jsr.io/docs/npm-compatibility).
 *
 * @module
 */

import { createHash } from "node:crypto";
import { npmName, type Packed } from "./pack.ts";
import { tarball } from "./tar.ts";

/**
 * Makes the handler of a registry.
 *
 * @param packages What it has: one version of each.
 * @returns A web-standard handler.
 */
export function registry(packages: readonly Packed[]): (request: Request) => Response {
  const bodies = new Map<string, { readonly body: string | Uint8Array<ArrayBuffer>; readonly type: string }>();
  const archives = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const { name, version, exports, files, npmFiles } of packages) {
    const json = (path: string, value: unknown) =>
      bodies.set(path, { body: JSON.stringify(value), type: "application/json" });
    const [scope = "", short = ""] = name.slice(1).split("/");
    json(`/${name}/meta.json`, { scope, name: short, latest: version, versions: { [version]: {} } });
    const manifest: Record<string, object> = {};
    for (const [path, text] of files) {
      const bytes = new TextEncoder().encode(text);
      manifest[path] = { size: bytes.length, checksum: `sha256-${createHash("sha256").update(bytes).digest("hex")}` };
      const type = path.endsWith(".ts") ? "application/typescript" : "application/octet-stream";
      bodies.set(`/${name}/${version}${path}`, { body: text, type });
    }
    json(`/${name}/${version}_meta.json`, { manifest, exports });
    archives.set(name, tarball(new Map([...npmFiles].map(([path, text]) => [`package${path}`, text]))));
  }
  return (request) => {
    const url = new URL(request.url);
    const path = decodeURIComponent(url.pathname);
    const found = bodies.get(path);
    if (found !== undefined) return new Response(found.body, { headers: { "content-type": found.type } });
    for (const packed of packages) {
      const archive = archives.get(packed.name);
      const npm = npmName(packed.name);
      const tarballPath = `/~/1/${npm}/${packed.version}.tgz`;
      if (archive === undefined) continue;
      if (path === tarballPath) {
        return new Response(archive, { headers: { "content-type": "application/octet-stream" } });
      }
      if (path === `/${npm}`) return Response.json(packument(packed, archive, new URL(tarballPath, url).href));
    }
    return new Response("not here", { status: 404 });
  };
}

function packument(packed: Packed, archive: Uint8Array, url: string): object {
  const manifest = JSON.parse(packed.npmFiles.get("/package.json") ?? "{}");
  const integrity = `sha512-${createHash("sha512").update(archive).digest("base64")}`;
  const shasum = createHash("sha1").update(archive).digest("hex");
  return {
    name: manifest.name,
    "dist-tags": { latest: packed.version },
    versions: { [packed.version]: { ...manifest, dist: { tarball: url, integrity, shasum } } },
    time: { [packed.version]: "2026-01-01T00:00:00.000Z" },
  };
}
