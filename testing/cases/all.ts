/**
 * All cases, by promise.
 *
 * @module
 */

import type { ConformanceCase } from "../case.ts";
import { abortCases } from "./p10_abort.ts";
import { attemptCases } from "./p03_attempts.ts";
import { codecCases } from "./p01_codecs.ts";
import { configurationCases } from "./p14_configuration.ts";
import { crashCases } from "./p04_crash.ts";
import { deadLetterCases } from "./p09_dead_letters.ts";
import { deduplicationCases } from "./p13_deduplication.ts";
import { delayCases } from "./p08_delay.ts";
import { deliveryCases } from "./p01_delivery.ts";
import { groupCases } from "./p05_groups.ts";
import { keyCases } from "./p06_keys.ts";
import { orderingCases } from "./p12_ordering.ts";
import { protocolCases } from "./p00_protocol.ts";
import { reconnectionCases } from "./p11_reconnection.ts";
import { retentionCases } from "./p07_retention.ts";
import { settlementCases } from "./p02_settlement.ts";

/** All cases, in order of the promises. */
export const allCases: readonly ConformanceCase[] = [
  ...protocolCases,
  ...deliveryCases,
  ...codecCases,
  ...settlementCases,
  ...attemptCases,
  ...crashCases,
  ...groupCases,
  ...keyCases,
  ...retentionCases,
  ...delayCases,
  ...deadLetterCases,
  ...abortCases,
  ...reconnectionCases,
  ...orderingCases,
  ...deduplicationCases,
  ...configurationCases,
];
