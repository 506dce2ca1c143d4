import { defineConfig } from "vitest/config"
import base from "./vitest.config.ts"

// Crash tests kill processes and wait for leases to run out, so they run one file at a time and take their time.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/crash/**/*.test.ts"],
    exclude: [],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000
  }
})
