// Runs the firmware as a WebAssembly module: node host.mjs MODULE
import { readFileSync } from "node:fs";
import { argv, exit, stdout } from "node:process";

let memory;
const host = {
    write: (start, len) => stdout.write(new Uint8Array(memory.buffer, start, len)),
    exit: (status) => {
        if (status === 0) console.log(`memory grew to ${memory.buffer.byteLength} bytes`);
        exit(status);
    },
};
const { instance } = await WebAssembly.instantiate(readFileSync(argv[2]), { host });
memory = instance.exports.memory;
instance.exports.start();
