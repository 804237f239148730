/**
 * What is stored in Redis: key names, fields, and the form of a message. Kept stable: other programs and later versions read it.
 *
 * An exchange is spread over `partitions` (one by default). All keys of a partition share the hash tag `{EXCHANGE:PARTITION}`, so
 * that every script touches keys of one cluster slot. `%`, `{` and `}` in an exchange's name are written as `%25`, `%7B`, `%7D`.
 *
 * | key, behind `{EXCHANGE:PARTITION}:` | type | what |
 * | --- | --- | --- |
 * | `stream` | stream | messages, field `m`; each group is a consumer group of Redis, each open receiver a consumer of it |
 * | `ordered` | stream | messages with an ordering key, field `m`; read by scripts alone |
 * | `delayed` | sorted set | messages published with a delay: due time, and `SEQUENCE` newline message |
 * | `id:ID` | string | an application's id, for as long as a second one is dropped |
 * | `sequence` | string | a counter |
 * | `groups` | set | names of groups |
 * | `expiring` | sorted set | when a group with `expiresMs` vanishes, unless a consumer shows up |
 * | `group:GROUP` | hash | `keys`, `maxAttempts`, `expiresMs` |
 * | `wake:GROUP` | stream | one entry at most: "look into `ready`", for whoever is blocked on `stream` and this one |
 * | `ready:GROUP` | sorted set | tokens to be claimed before the stream is read on; all of score 0, so in the order of tokens |
 * | `later:GROUP` | sorted set | tokens held back by a nack: due time |
 * | `lease:GROUP` | sorted set | tokens that are claimed: when the lease ends |
 * | `holder:GROUP` | hash | token: the consumer that holds it |
 * | `store:GROUP` | hash | token: attempts, newline, message |
 * | `error:GROUP` | hash | token: the last error |
 * | `keys:GROUP` | hash | ordering key: the token that has it |
 * | `queue:GROUP` | sorted set | ordering key, NUL, token: those that wait for their key |
 * | `dead:GROUP` | stream | dead letters: `m`, `r` reason, `e` error, `a` attempts |
 * | `deadids:GROUP` | sorted set | message id, newline, padded id in `dead`: to find one by its id |
 * | `consumers:GROUP` | hash | consumer: its lease in milliseconds |
 * | `seen:GROUP` | sorted set | consumer: when it was last heard of |
 *
 * A message is text: `id`, `key`, `publishedAt`, ordering key or nothing, headers as JSON or nothing, each ended by a newline, and the
 * payload's JSON. None of the first five can hold a newline.
 *
 * A token is where a message stood first: its stream id, padded so that texts sort as ids do, and `m` (stream), `o` (ordered) or `r`
 * (put back from the dead letters).
 *
 * How a message moves. A first delivery is read from `stream` by XREADGROUP and settled by XACK. Whatever happens otherwise (nack,
 * release, a lease that ran out or is longer than the receiver's) takes it out of the pending list and into `store` in one step, and
 * from there it goes on by tokens. So nothing old pins the stream, which is trimmed behind what every group has taken; an XACK is
 * always fenced, as a pending entry never changes its holder; and attempts and leases are exact, which those of Redis, counting
 * whatever is prefetched, are not.
 *
 * Messages with an ordering key never go through the pending list. A script takes them from `ordered`: the first of a key is claimed,
 * those behind it wait in `queue`. That holds back one key and not, as a stream leased to one consumer would, all that share the stream.
 *
 * @module
 */

/** Keys of one partition. */
export interface PartitionNames {
  /** Which partition. */
  readonly partition: number;
  /** What every key begins with. */
  readonly prefix: string;
  /** The stream; scripts get this key alone and make the others of it. */
  readonly stream: string;
}

/**
 * Names the keys of an exchange.
 *
 * @param exchange The exchange.
 * @param partitions How many partitions it has.
 * @returns The names, by partition.
 */
export function nameExchange(exchange: string, partitions: number): readonly PartitionNames[] {
  const tag = exchange.replace(/[%{}]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return Array.from({ length: partitions }, (_, partition) => {
    const prefix = `{${tag}:${partition}}:`;
    return { partition, prefix, stream: `${prefix}stream` };
  });
}

/**
 * Which partition a message goes to: by its ordering key, else by its key.
 *
 * @param text The ordering key or key.
 * @param partitions How many there are.
 * @returns From 0.
 */
export function partitionOf(text: string, partitions: number): number {
  return partitions === 1 ? 0 : crc16(text) % partitions;
}

/**
 * The cluster slot of a key with a hash tag.
 *
 * @param key The key.
 * @returns From 0 to 16383.
 */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = key.indexOf("}", open + 1);
  return crc16(open >= 0 && close > open + 1 ? key.slice(open + 1, close) : key) % 16384;
}

// CRC16-CCITT (XMODEM), by which Redis Cluster maps keys to slots (cluster specification, appendix A).
function crc16(text: string): number {
  let crc = 0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** What kind of value stands under each key of a partition, and of a group in it. */
export const valueTypes: {
  readonly partition: Readonly<Record<string, string>>;
  readonly group: Readonly<Record<string, string>>;
} = {
  partition: {
    stream: "stream",
    ordered: "stream",
    delayed: "zset",
    sequence: "string",
    groups: "set",
    expiring: "zset",
  },
  group: {
    group: "hash",
    wake: "stream",
    ready: "zset",
    later: "zset",
    lease: "zset",
    holder: "hash",
    store: "hash",
    error: "hash",
    keys: "hash",
    queue: "zset",
    dead: "stream",
    deadids: "zset",
    consumers: "hash",
    seen: "zset",
  },
};
