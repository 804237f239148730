/** Holds the write lock of a file from when it says so until its standard input ends. `lock_holder.ts FILE` */

import process from "node:process";
import { DatabaseSync } from "node:sqlite";

const db = new DatabaseSync(process.argv[2] ?? "", { timeout: 10_000 });
db.exec("begin immediate");
console.log("locked");
process.stdin.on("end", () => {
  db.exec("rollback");
  db.close();
}).resume();
