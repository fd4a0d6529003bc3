// What client.ts needs of Node.js; @types/node is not installed for these lines.

declare const process: { argv: string[]; getBuiltinModule(name: string): any };

const { readFileSync } = process.getBuiltinModule("node:fs");
const { basename } = process.getBuiltinModule("node:path");

export const url = process.argv[2]!;
export const files: Record<string, ArrayBuffer> = Object.fromEntries(process.argv.slice(3).map(
  (path) => [basename(path), new Uint8Array(readFileSync(path)).buffer]));

export function check(holds: boolean, claim: string): asserts holds {
  console.log(`${holds ? "ok  " : "FAIL"} ${claim}`);
  if (!holds) throw new Error(claim);
}
