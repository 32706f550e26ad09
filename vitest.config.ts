import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/**/*.test.ts"], exclude: ["test/hostile/**"], testTimeout: 30_000 } },
      { test: { name: "hostile", include: ["test/hostile/**/*.test.ts"], testTimeout: 120_000 } },
    ],
  },
});
