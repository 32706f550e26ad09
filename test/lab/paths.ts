import { join } from "node:path";

/** The files of one machine. */
export class LabPaths {
  readonly folder: string;
  readonly ram: string;
  readonly qmp: string;
  /** A second QMP socket, for whoever moves the machine. */
  readonly monitor: string;
  /** The first serial port, for what the guest prints. */
  readonly console: string;
  /** The second serial port, for commands and their answers. */
  readonly commands: string;
  readonly pid: string;

  constructor(folder: string) {
    this.folder = folder;
    this.ram = join(folder, "ram");
    this.qmp = join(folder, "qmp");
    this.monitor = join(folder, "monitor");
    this.console = join(folder, "console");
    this.commands = join(folder, "commands");
    this.pid = join(folder, "pid");
  }
}
