/** Virtual machines of QEMU: as guest and host of a migration, and a client of QMP. Needs Node. */

export type { LazyFile } from "./guest/lazy/underlying.js";
export type { QmpAddress, QmpTimeout } from "./guest/qemu/address.js";
export { QmpError, type QmpErrorCode } from "./guest/qemu/errors.js";
export { QemuGuest, type QemuGuestOptions } from "./guest/qemu/guest.js";
export { QemuHost, type QemuHostOptions, type QemuServeOptions } from "./guest/qemu/host.js";
export type { QmpEvent } from "./guest/qemu/message.js";
export { QmpClient } from "./guest/qemu/qmp.js";
