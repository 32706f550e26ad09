/** What the command's exit status says; the README has the table. */
export const ExitCode: {
  readonly ok: 0;
  readonly failed: 1;
  readonly usage: 2;
  readonly refused: 3;
  readonly inDoubt: 4;
  readonly lost: 5;
  readonly cancelled: 130;
} = Object.freeze({
  ok: 0,
  /** Something went wrong; nothing was changed, and a machine runs on where it was. */
  failed: 1,
  /** The command line was not understood. */
  usage: 2,
  /** The other side, or this side's policy, did not allow it. */
  refused: 3,
  /** A machine was handed over and the answer was lost: it stands still here and may run there. */
  inDoubt: 4,
  /** A machine ran at the destination, and the rest of its memory cannot come there any more. */
  lost: 5,
  /** Interrupted by the user. */
  cancelled: 130,
});
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** An error of a command that has its own exit status. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}
