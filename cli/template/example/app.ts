/**
 * An application that uses whichever backend its variables name.
 *
 * @module
 */

import { openQueue } from "@abe/mq";

await using mq = await openQueue();
await mq.publish("greeting.sent", { hello: "world" });
for await (const payload of mq.consume()) {
  console.log(payload);
  break;
}
