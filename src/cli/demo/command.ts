import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { GuestError } from "../../guest/errors.js";
import { demoImages } from "../../guest/v86/image.js";
import type { MigrationReport } from "../../migration/report.js";
import { createCredentials, writeCredentials } from "../../transport/credentials.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import { createProgressBar, migrationUpdate } from "../progress-bar.js";
import { reportText } from "../report-text.js";
import { formatMs } from "../units.js";
import type { DemoKind, DemoNews, DemoOrder } from "./messages.js";

/** What `pageferry demo --json` prints. */
interface DemoResult {
  readonly guest: DemoKind;
  readonly report: MigrationReport;
  readonly continuity: { readonly lastOnSource: number; readonly firstOnDestination: number };
  readonly contentVerified: boolean;
}

interface DemoOptions {
  readonly guest?: DemoKind;
  readonly compression: string;
  readonly json?: true;
}

/** Adds `pageferry demo`. */
export function addDemoCommand(program: Command): void {
  program
    .command("demo")
    .description("migrate a running Linux from one process to another, and show that it lost nothing")
    .addOption(
      new Option(
        "--guest <kind>",
        "v86: a Linux in an emulator (default where apt is present); memory: no machine",
      ).choices(["v86", "memory"]),
    )
    .addOption(
      new Option("--compression <codec>", "what compresses the pages")
        .choices(["auto", "none", "lz4", "zstd"])
        .default("auto"),
    )
    .option("--json", "print the result as one JSON object, on the last line")
    .addHelpText("after", "\nExamples:\n  pageferry demo\n  pageferry demo --guest memory --compression lz4 --json")
    .action(async (options: DemoOptions) => {
      const say = (line: string): void => console.log(line);
      const result = await demo(options, say);
      if (options.json) {
        const { guest: _, ...printed } = result;
        console.log(JSON.stringify(printed));
      } else {
        say(resultText(result));
      }
      if (!result.contentVerified) throw new CommandError(ExitCode.failed, "The machine did not arrive as it left.");
    });
}

async function demo(options: DemoOptions, say: (line: string) => void): Promise<DemoResult> {
  const guest = options.guest ?? (await chooseGuest(say));
  const folder = await mkdtemp(join(tmpdir(), "pageferry-demo-"));
  const processes: DemoProcess[] = [];
  try {
    await writeCredentials(folder, await createCredentials(["source", "destination"], { days: 1 }));
    const source = new DemoProcess("source", say);
    const destination = new DemoProcess("destination", say);
    processes.push(source, destination);
    return await run(guest, folder, options.compression, source, destination, say);
  } finally {
    for (const process of processes) process.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function run(
  guest: DemoKind,
  folder: string,
  compression: string,
  source: DemoProcess,
  destination: DemoProcess,
  say: (line: string) => void,
): Promise<DemoResult> {
  source.order({ order: "set-up", setup: { guest, credentials: join(folder, "source") } });
  destination.order({ order: "set-up", setup: { guest, credentials: join(folder, "destination") } });
  const { port } = await destination.hear("listening");
  const { contentSha256 } = await source.hear("running");
  say(`Process ${source.pid} runs the machine${guest === "v86" ? ": Linux counts, and rewrites a file" : ""}.`);
  say(`Process ${destination.pid} waits for it on port ${port}, with TLS 1.3; both must prove who they are.`);

  const bar = await createProgressBar("Migrating");
  source.onProgress = (progress) => bar.update(migrationUpdate(progress));
  const arrived = destination.hear("arrived");
  source.order({ order: "migrate", port, compression });
  const migrated = await source.hear("migrated");
  await arrived;
  bar.end();

  destination.order({ order: "prove", consoleRest: migrated.consoleRest });
  const proof = await destination.hear("proven");
  const isContinuous = proof.firstCount === migrated.lastCount + 1;
  const { report } = migrated;
  return {
    guest,
    report,
    continuity: { lastOnSource: migrated.lastCount, firstOnDestination: proof.firstCount },
    contentVerified: isContinuous && proof.contentSha256 === contentSha256 && report.verification.verified,
  };
}

async function chooseGuest(say: (line: string) => void): Promise<DemoKind> {
  try {
    await demoImages({ onProgress: say });
    return "v86";
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    say(`${error.message}`);
    say("So the built-in guest takes Linux's place: memory with a workload on it.");
    return "memory";
  }
}

function resultText({ guest, report, continuity, contentVerified }: DemoResult): string {
  const what = guest === "v86" ? "Linux" : "The workload";
  return [
    "",
    `${what} stood still for ${formatMs(report.downtimeMs)}. Its last count at the source was ${continuity.lastOnSource}, ` +
      `its first at the destination ${continuity.firstOnDestination}.`,
    contentVerified
      ? "Nothing was lost: no count is missing, and a file's SHA-256 is what it was."
      : "SOMETHING WAS LOST: a count is missing, or content has changed.",
    "",
    reportText(report),
  ].join("\n");
}

/** One of the two processes that machines run in. */
class DemoProcess {
  onProgress: (progress: Extract<DemoNews, { news: "progress" }>["progress"]) => void = () => {};
  readonly #child: ChildProcess;
  readonly #waiting = new Map<string, { resolve: (news: DemoNews) => void; reject: (error: Error) => void }>();
  readonly #heard = new Map<string, DemoNews>();
  #failure: Error | undefined;

  constructor(role: "source" | "destination", say: (line: string) => void) {
    this.#child = fork(new URL("./process.js", import.meta.url), [role], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child.on("message", (news: DemoNews) => {
      if (news.news === "step") say(news.line);
      else if (news.news === "progress") this.onProgress(news.progress);
      else if (news.news === "failed") this.#fail(new CommandError(ExitCode.failed, news.message));
      else this.#take(news);
    });
    this.#child.on("exit", (code, signal) => {
      this.#fail(
        new CommandError(ExitCode.failed, `The process of the ${role} ended (${signal ?? `status ${code}`}).`),
      );
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  order(order: DemoOrder): void {
    this.#child.send(order);
  }

  /** The next news of this kind. */
  hear<Kind extends DemoNews["news"]>(kind: Kind): Promise<Extract<DemoNews, { news: Kind }>> {
    const heard = new Promise<DemoNews>((resolve, reject) => {
      const news = this.#heard.get(kind);
      this.#heard.delete(kind);
      if (news !== undefined) resolve(news);
      else if (this.#failure !== undefined) reject(this.#failure);
      else this.#waiting.set(kind, { resolve, reject });
    });
    // Where two are waited for, the failure of one is enough to report.
    heard.catch(() => {});
    return heard as Promise<Extract<DemoNews, { news: Kind }>>;
  }

  end(): void {
    this.#child.removeAllListeners();
    this.#child.kill("SIGKILL");
  }

  #take(news: DemoNews): void {
    const waiting = this.#waiting.get(news.news);
    this.#waiting.delete(news.news);
    if (waiting === undefined) this.#heard.set(news.news, news);
    else waiting.resolve(news);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
