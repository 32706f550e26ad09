import { Socket } from "node:net";
import { LazyServer, type LazyServerOptions } from "./server.js";

const options = JSON.parse(process.argv[2] as string) as LazyServerOptions;
await new LazyServer(options, new Socket({ fd: 3 })).run();
