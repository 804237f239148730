import type { Capabilities } from "../../mod.ts";
import { testBackend } from "../../testing/mod.ts";
import LineBackend from "./line_backend.ts";

testBackend({
  name: "a backend of three methods with groups",
  open: (exchange) => Promise.resolve(new LineBackend(exchange)),
  capabilities: { groups: true },
});

testBackend({
  name: "a backend of three methods that declares nothing",
  open(exchange) {
    const capabilities: Capabilities = {};
    return Promise.resolve(Object.assign(new LineBackend(exchange), { capabilities }));
  },
  capabilities: {},
});
