/**
 * A certificate for servers on loopback, made on the spot: self-signed, so that it is its own authority.
 *
 * @module
 */

import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

/** A certificate and its key, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate for `localhost` and 127.0.0.1 that holds for a day: DER by X.690, the fields of RFC 5280, section 4.1. */
export function makeCertificate(): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(oid("1.2.840.10045.4.3.2")); // ecdsa-with-SHA256
  const name = sequence(tag(0x31, sequence(oid("2.5.4.3"), tag(0x0c, text("localhost")))));
  const day = 86_400_000;
  const extension = (id: string, critical: boolean, value: Uint8Array) =>
    sequence(oid(id), ...critical ? [tag(0x01, bytes(0xff))] : [], tag(0x04, value));
  const body = sequence(
    tag(0xa0, tag(0x02, bytes(2))), // version 3
    tag(0x02, bytes(0x01, ...randomBytes(8))),
    algorithm,
    name,
    sequence(time(Date.now() - day), time(Date.now() + day)),
    name,
    new Uint8Array(publicKey.export({ type: "spki", format: "der" })),
    tag(
      0xa3,
      sequence(
        extension("2.5.29.19", true, sequence(tag(0x01, bytes(0xff)))), // an authority
        extension("2.5.29.17", false, sequence(tag(0x82, text("localhost")), tag(0x87, bytes(127, 0, 0, 1)))),
      ),
    ),
  );
  const signature = sign("sha256", body, privateKey);
  const der = sequence(body, algorithm, tag(0x03, bytes(0, ...signature)));
  const lines = Buffer.from(der).toString("base64").match(/.{1,64}/g) ?? [];
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
  };
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function tag(kind: number, ...parts: Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return bytes(kind, ...head, ...parts.flatMap((part) => [...part]));
}

function sequence(...parts: Uint8Array[]): Uint8Array {
  return tag(0x30, ...parts);
}

function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const encoded = [first * 40 + second];
  for (const part of rest) {
    const digits = [part & 0x7f];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift((left & 0x7f) | 0x80);
    }
    encoded.push(...digits);
  }
  return tag(0x06, bytes(...encoded));
}

function time(ms: number): Uint8Array {
  return tag(0x17, text(new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "").slice(2)));
}
