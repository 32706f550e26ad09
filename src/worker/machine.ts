import type { Guest, Host } from "../guest/guest.js";
import type { SerialPort } from "../guest/v86/emulator.js";

/** A machine that is in the worker, whatever emulates it. */
export interface PresentMachine {
  readonly guest: Guest;
  /** Resolves when it has come to grief; never, where it does not. */
  readonly failed: Promise<Error>;
  /** Instructions that it has done, counted round 2^32; undefined where it does not count. */
  instructions(): number | undefined;
  /** Gives it what comes in at a serial port. */
  type(port: SerialPort, text: string): void;
}

/** A machine on its way in. */
export interface ComingMachine {
  readonly host: Host;
  /** To be asked once it runs. */
  present(): PresentMachine;
}

/** Hears what machines print. */
export interface MachineOutput {
  /** A byte of the console. */
  print(byte: number): void;
  /** All that the console showed before the machine came. */
  printPast(bytes: Uint8Array): void;
  /** A line from the second serial port. */
  answer(line: string): void;
}
