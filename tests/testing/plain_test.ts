import { testBackend } from "../../testing/mod.ts";
import LineBackend from "./line_backend.ts";

testBackend({
  name: "a backend of three methods",
  open: (exchange) => Promise.resolve(new LineBackend(exchange)),
  capabilities: { groups: true },
});
