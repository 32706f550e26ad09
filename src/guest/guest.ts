/** A stretch of a machine's memory. */
export interface MemoryRegion {
  readonly name: string;
  /** Bytes; the last page of a region may be a part of one, and its rest reads as zeros. */
  readonly byteLength: number;
}

/** What a machine looks like from outside: all that a destination must know to make room for it. */
export interface Machine {
  readonly name: string;
  /** Which sort of host can take it: "memory", "file", "v86", … */
  readonly kind: string;
  /** One page size for all regions: a power of two from 1 KiB to 64 KiB. */
  readonly pageBytes: number;
  /** Pages are numbered through all regions, in this order; every region starts with a page of its own. */
  readonly regions: readonly MemoryRegion[];
  /** What else a host of this kind must know (versions, sizes of devices), as JSON. */
  readonly configuration: Readonly<Record<string, string | number | boolean>>;
}

/** A guest's memory where it is: a scan goes over it without a copy. */
export interface InPlaceMemory {
  readonly memory: WebAssembly.Memory;
  /** A part of the memory that is the caller's to use, of at least so many bytes; the same one at every call. */
  scratch(byteLength: number): { readonly byteOffset: number; readonly byteLength: number };
  /** The memory of `pageCount` pages of one region; to be taken anew each turn. */
  view(firstPage: number, pageCount: number): Uint8Array;
}

/** A window of memory that was scanned elsewhere; it holds until it is released. */
export interface ScannedWindow {
  /** All pages of the window; only those that changed are there. */
  readonly pages: Uint8Array;
  /** A bit for each page of the window: set where it changed. */
  readonly dirty: Uint8Array;
  readonly dirtyCount: number;
  /** How long it took. */
  readonly scanMs: number;
  release(): void;
}

/** Threads that read and fingerprint a guest's memory, beside the one that they are asked from. */
export interface ScanThreads {
  readonly count: number;
  /** How many windows may be under way at once, those among them that have not been released. */
  readonly windowsAhead: number;
  /** The fingerprints of all pages as they were scanned last; XXH3-128, 16 bytes a page. To be filled with what the pages are compared with at first. */
  readonly fingerprints: Uint8Array;
  /** A bit for each page: where it is not set, the page is passed over. */
  readonly log: Uint8Array;
  /** Scans pages of one region, at most a window. Throws where they cannot be read. */
  scan(firstPage: number, pageCount: number): Promise<ScannedWindow>;
}

/** A running machine at the source. */
export interface Guest {
  readonly machine: Machine;
  /** Copies whole pages, all of one region, into `into`. */
  readPages(firstPage: number, into: Uint8Array): void;
  /** Stops the machine; its memory and state stay as they are from then on. Calling it again changes nothing. */
  pause(): Promise<void>;
  /** Lets the machine go on as if nothing had happened. Calling it again changes nothing. */
  resume(): Promise<void>;
  /** CPU and devices of the paused machine, without its memory, which is read meanwhile. */
  saveState(): Promise<Uint8Array>;
  /** The machine runs elsewhere now: free what it holds. It never runs here again. */
  release(): Promise<void>;

  /** The machine is about to be given away: from now on it may run elsewhere, and goes on here only where {@link resume} says so. */
  handOver?(): void;
  /** Where the memory can be scanned in place. */
  readonly inPlace?: InPlaceMemory;
  /** Where threads can read the memory: starts them, with a 64-bit seed in hex for the fingerprints. The guest ends them when it is let go of. */
  startScanThreads?(seed: string, windowPages: number): Promise<ScanThreads>;
  /**
   * Where it is known which pages can hold anything but zeros: sets their bits. A page that holds zeros may be among them. Bits that are set
   * already are those of pages that are known to have held something.
   */
  markAllocatedPages?(bitmap: Uint8Array): void;
  /** Where writes are logged: sets the bit of every page written since the last call (all pages at the first call) and starts anew. */
  takeDirtyPages?(bitmap: Uint8Array): void;
  /** Slows the machine down: 0 is full speed, 0.99 nearly stopped. */
  throttle?(fraction: number): Promise<void>;
}

/** How long a machine has waited for pages that it touched before they were there. */
export interface FaultReport {
  readonly faults: number;
  /** From a touch to its page; 0 where there were none. */
  readonly meanMs: number;
  /** The 99th percentile. */
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * The part of a host that lets a machine run before its memory is there. What the engine reads and writes is then a copy of what the source holds, which
 * the machine's own writes never change; of a page that has not {@link arrived}, the machine sees nothing.
 */
export interface LazyMemory {
  /**
   * Set by the engine before the state is loaded: called with pages, all of one region, that were touched and have not arrived, among them perhaps some that
   * have. A touch may be told more than once.
   */
  onFault: (firstPage: number, pageCount: number) => void;
  /** Pages of one region are as the machine shall see them, and are never written again: whoever waits for them goes on. */
  arrived(firstPage: number, pageCount: number): void;
  /** Resolves where the machine ends, or what serves its memory: nobody waits for it any more. Not there where that is not noticed. */
  readonly ended?: Promise<void>;
  /** What the faults came to so far. */
  faultReport(): Promise<FaultReport>;
  /** Every page has arrived: nothing is needed of this process any more. */
  complete(): Promise<void>;
  /**
   * The rest will never come. Stops the machine for good and writes what there is of its memory into a folder, its own writes as far as they can be had;
   * returns the files. `isMissing` tells of a page whether it never came.
   */
  salvage(folder: string, isMissing: (page: number) => boolean): Promise<readonly string[]>;
}

/** The place where a machine arrives. */
export interface Host {
  /** Makes room for a machine, its memory all zero (or what {@link hasBase} says). Throws where it cannot take it. */
  prepare(machine: Machine): Promise<void>;
  /** True where the prepared memory holds something, such as an older image, that the source should know of. */
  readonly hasBase?: boolean;
  /** True where it is known without looking that all of the prepared memory is zero. */
  readonly isUntouched?: boolean;
  /** Once prepared, where the machine can run before its memory is there. */
  readonly lazy?: LazyMemory | undefined;
  /** Copies whole pages, all of one region, into `into`. */
  readPages(firstPage: number, into: Uint8Array): void;
  /** Puts whole pages, all of one region, into the machine's memory. */
  writePages(firstPage: number, from: Uint8Array): void;
  /** Loads CPU and devices, saved by {@link Guest.saveState}; leaves memory as it is. Throws where the state is not acceptable. */
  loadState(state: Uint8Array): Promise<void>;
  /** Lets the machine run. */
  start(): Promise<void>;
  /** Throws everything away; no machine will run. */
  discard(): Promise<void>;
}
