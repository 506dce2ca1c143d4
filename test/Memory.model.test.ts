import * as Memory from "../src/Memory.ts"
import { compare } from "./conformance/model.ts"

compare("Memory and Memory without hints", Memory.layer, Memory.layerWith({ hints: false }), { runs: 300 })
