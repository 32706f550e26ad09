import { describe, expect, it } from "vitest";
import { PageClass } from "../../src/wire/batch.js";
import { MapCells } from "../../web/src/map-cells.js";
import { Cell, CLASS_LOOKS, cellOfClass } from "../../web/src/memory-classes.js";

const pages = (...numbers: number[]): Uint32Array => Uint32Array.from(numbers);
const classes = (...numbers: number[]): Uint8Array => Uint8Array.from(numbers);

describe("cells of the memory map", () => {
  it("know the engine's page classes, and take later ones for pages sent whole", () => {
    for (const name of ["zero", "fill", "dup", "delta", "novel", "same"] as const) {
      expect(cellOfClass(PageClass[name])).toBe(Cell[name]);
    }
    expect(cellOfClass(PageClass.passing)).toBe(Cell.novel);
    expect(cellOfClass(0)).toBe(Cell.novel);
    expect(cellOfClass(99)).toBe(Cell.novel);
  });

  it("can be told apart by letter and by colour", () => {
    expect(new Set(CLASS_LOOKS.map(({ letter }) => letter)).size).toBe(CLASS_LOOKS.length);
    expect(new Set(CLASS_LOOKS.map(({ color }) => color)).size).toBe(CLASS_LOOKS.length);
  });

  it("shine when their page is sent, and then settle in the colour of its class", () => {
    const cells = new MapCells(8);
    expect(cells.shade(3, 0)).toEqual({ cell: Cell.waiting, isDirty: false, shine: 0 });
    cells.send(pages(3), classes(PageClass.dup), 0, 1000);
    expect([...cells.active]).toEqual([3]);
    expect(cells.shade(3, 1000)).toEqual({ cell: Cell.dup, isDirty: false, shine: 1 });
    expect(cells.shade(3, 1100).shine).toBeLessThan(1);
    expect(cells.shade(3, 2000)).toEqual({ cell: Cell.dup, isDirty: false, shine: 0 });
    cells.settle(3);
    expect(cells.activeCount).toBe(0);
  });

  it("shine also in a frame whose time is before that of the page", () => {
    const cells = new MapCells(8);
    cells.send(pages(3), classes(PageClass.dup), 0, 1000);
    expect(cells.shade(3, 990)).toEqual({ cell: Cell.dup, isDirty: false, shine: 1 });
  });

  it("show that a page was dirty again before they shine in its new class", () => {
    const cells = new MapCells(8);
    cells.send(pages(5), classes(PageClass.novel), 0, 0);
    expect(cells.shade(5, 0).isDirty).toBe(false);
    cells.send(pages(5), classes(PageClass.delta), 1, 5000);
    expect(cells.shade(5, 5000).isDirty).toBe(true);
    expect(cells.shade(5, 5300).isDirty).toBe(false);
    expect(cells.shade(5, 5300).shine).toBeGreaterThan(0);
    expect(cells.shade(5, 9000)).toEqual({ cell: Cell.delta, isDirty: false, shine: 0 });
    expect(cells.pagesAgain).toBe(1);
    expect(cells.pageOf(5)).toEqual({ page: 5, cell: Cell.delta, round: 1, timesSent: 2 });
  });

  it("take their colour at once for those who want no motion", () => {
    const cells = new MapCells(8, true);
    cells.send(pages(1), classes(PageClass.novel), 0, 0);
    cells.send(pages(1), classes(PageClass.zero), 1, 0);
    expect(cells.shade(1, 0)).toEqual({ cell: Cell.zero, isDirty: false, shine: 0 });
  });

  it("count every travel by class, and the pages that need not travel", () => {
    const cells = new MapCells(10);
    cells.send(pages(0, 1, 2), classes(PageClass.novel, PageClass.passing, PageClass.fill), 0, 0);
    cells.passOver(0, 6);
    expect(cells.pagesPassedOver).toBe(3);
    expect(cells.shade(4, 0).cell).toBe(Cell.same);
    expect(cells.shade(7, 0).cell).toBe(Cell.waiting);
    cells.send(pages(4), classes(PageClass.delta), 1, 0);
    expect(cells.pagesPassedOver).toBe(2);
    expect(cells.pagesAgain).toBe(0);
    expect([...cells.travels]).toEqual([0, 0, 1, 0, 1, 2, 0]);
  });

  it("leave out pages behind the memory: those are the state", () => {
    const cells = new MapCells(4);
    cells.send(pages(4, 4_000_000_000), classes(PageClass.novel, PageClass.novel), 2, 0);
    expect(cells.activeCount).toBe(0);
    expect(cells.travels.reduce((sum, count) => sum + count)).toBe(0);
  });

  it("hold several pages each where a machine is large", () => {
    const cells = new MapCells(1 << 20);
    expect(cells.cellCount).toBeLessThanOrEqual(32_768);
    expect(cells.cellCount * cells.pagesPerCell).toBeGreaterThanOrEqual(1 << 20);
    cells.send(pages((1 << 20) - 1), classes(PageClass.dup), 0, 0);
    expect(cells.pageOf(cells.cellCount - 1).page).toBe((1 << 20) - 1);
  });
});
