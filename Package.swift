// swift-tools-version: 6.2
import PackageDescription

// Our own targets treat every warning as an error; dependencies keep their own settings.
let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableExperimentalFeature("Lifetimes"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")

/// A library of the project: one folder in `Sources`.
func room(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

/// An executable: parses, composes, runs.
func tool(_ name: String, path: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies + [argumentParser], path: path, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
  name: "lagoon",
  products: [
    .library(name: "LagoonClient", targets: ["LagoonClient"]),
    .library(name: "LagKV", targets: ["LagKV"]),
    .executable(name: "lagoond", targets: ["lagoond"]),
    .executable(name: "lagoon", targets: ["lagoon"]),
    .executable(name: "lagoon-lm", targets: ["lagoon-lm"]),
    .executable(name: "lagoon-train", targets: ["lagoon-train"]),
    .executable(name: "lagoon-bench", targets: ["lagoon-bench"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // System libraries and small shims.
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .target(name: "CPosix"),
    // C++ on Highway: SIMD kernels chosen at run time, each with its scalar twin.
    .target(
      name: "Kernels",
      cxxSettings: [.headerSearchPath(".")],
      linkerSettings: [.linkedLibrary("hwy")]),
    // C++ behind a C interface: SentencePiece has no other.
    .target(name: "CSentencePiece", linkerSettings: [.linkedLibrary("sentencepiece")]),

    // Rooms; imports only point down.
    room("LagKV", ["Kernels", "CXXHash"]),
    room("Patience", []),
    room("SparseAttention", ["Kernels", "LagKV", "Patience"]),
    room("KVStore", ["SparseAttention", "LagKV", "Kernels", "CLMDB", "CZstd", "CXXHash", "CPosix"]),
    room(
      "LagoonProtocol",
      ["LagKV", "Patience", "CPosix", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
      exclude: ["lagoon.proto", "generate.sh"]),
    room("LagoonClient", ["LagoonProtocol", "LagKV", "Patience", "CPosix"]),
    room(
      "LagoonDaemon",
      [
        "LagoonProtocol", "KVStore", "SparseAttention", "LagKV", "Patience", "CPosix", log,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    room("DurableFiles", []),
    room("StrictJSON", []),
    room("Safetensors", ["StrictJSON", "DurableFiles"]),
    room("GoldenCases", ["Safetensors", "LagKV"]),
    room("Tokenization", ["StrictJSON", "COniguruma", "CSentencePiece"]),
    room("TrainingData", ["StrictJSON", "DurableFiles", "Tokenization"]),
    room("RunRecord", ["StrictJSON", "DurableFiles"]),
    room("Transformer", ["Safetensors", "StrictJSON", "DurableFiles", "Kernels", "COneDNN", "CXXHash"]),
    room("ToolSupport", ["LagoonProtocol", "DurableFiles", "CPosix", argumentParser]),
    room("LanguageModel", ["Transformer", "Tokenization", "LagoonClient"]),
    room(
      "Evaluation",
      ["RecallTasks", "LanguageModel", "Transformer", "Tokenization", "LagoonClient", "LagKV"]),
    room(
      "LRSATraining",
      [
        "Transformer", "TrainingData", "RunRecord", "Safetensors", "DurableFiles", "LagoonClient", "LagKV",
        "Kernels",
      ]),
    room(
      "ModelToolSupport",
      [
        "LanguageModel", "Transformer", "Tokenization", "LagoonClient", "LagoonProtocol", "LagKV",
        "ToolSupport",
        argumentParser,
      ]),
    room("RecallTasks", []),
    room("Inspection", ["DurableFiles", "CPNG"]),
    room("Charts", ["Inspection", "DurableFiles"]),
    room("ClaimExperiment", ["Charts", "Inspection"]),

    tool(
      "lagoond", path: "daemon",
      [
        "LagoonDaemon", "LagoonProtocol", "KVStore", "SparseAttention", log,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    tool("lagoon", path: "tools/lagoon", ["LagoonClient", "KVStore", "Inspection", "ToolSupport"]),
    tool(
      "lagoon-lm", path: "tools/lagoon-lm",
      [
        "ModelToolSupport", "LanguageModel", "Transformer", "Tokenization", "Safetensors", "LagoonClient",
        "LagoonProtocol", "LagKV", "ToolSupport",
      ]),
    tool(
      "lagoon-train", path: "tools/lagoon-train",
      [
        "ModelToolSupport", "LRSATraining", "TrainingData", "RunRecord", "Charts", "Evaluation",
        "RecallTasks", "Transformer", "Tokenization", "Safetensors", "LagoonClient", "LagKV", "Inspection",
        "DurableFiles", "ToolSupport",
      ]),
    tool(
      "lagoon-demo", path: "tools/lagoon-demo",
      ["LanguageModel", "Transformer", "Tokenization", "LagoonClient", "Inspection", "ToolSupport"]),
    tool(
      "lagoon-results", path: "tools/lagoon-results",
      ["ClaimExperiment", "Charts", "DurableFiles", "ToolSupport"]),
    tool(
      "lagoon-bench", path: "tools/lagoon-bench",
      [
        "LagoonClient", "GoldenCases", "SparseAttention", "LagKV", "Kernels", "Tokenization", "Transformer",
        "LRSATraining", "LanguageModel", "ModelToolSupport", "ToolSupport", "DurableFiles", "Charts",
        "Inspection", "CLMDB",
        "CZstd",
      ]),

    tests("KernelsTests", ["Kernels", "TestSupport"]),
    tests("LagKVTests", ["LagKV", "Kernels", "GoldenCases"]),
    tests("SparseAttentionTests", ["SparseAttention", "LagKV", "Kernels", "GoldenCases"]),
    // What tests of several rooms need.
    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
    // Stands in for malloc in the test program, to count.
    .target(name: "CAllocationCount", path: "Tests/CAllocationCount"),
    tests(
      "KVStoreTests",
      [
        "KVStore", "SparseAttention", "LagKV", "Kernels", "GoldenCases", "CAllocationCount", "CXXHash",
        "CZstd",
        "TestSupport",
      ]),
    tests("LagoonProtocolTests", ["Patience", "LagoonProtocol", "LagKV"]),
    tests(
      "DaemonTests",
      ["LagoonDaemon", "LagoonClient", "LagoonProtocol", "KVStore", "SparseAttention", "TestSupport"]),
    tests("StrictJSONTests", ["StrictJSON", "TestSupport"]),
    tests("DurableFilesTests", ["DurableFiles"]),
    tests("SafetensorsTests", ["Safetensors"]),
    tests("TokenizationTests", ["Tokenization", "StrictJSON", "TestSupport"]),
    tests("TrainingDataTests", ["TrainingData", "Tokenization", "StrictJSON", "TestSupport"]),
    tests("TransformerTests", ["Transformer", "Safetensors"]),
    tests(
      "LRSATrainingTests",
      ["LRSATraining", "TrainingData", "Transformer", "Safetensors", "LagoonClient", "LagKV", "ToolSupport"]),
    tests("RecallTasksTests", ["RecallTasks"]),
    tests("EvaluationTests", ["Evaluation", "RecallTasks", "Tokenization"]),
    tests("InspectionTests", ["Inspection", "CPNG"]),
    tests("ChartsTests", ["Charts", "Inspection"]),
    tests("RunRecordTests", ["RunRecord"]),
    tests("ClaimExperimentTests", ["ClaimExperiment", "Charts"]),
    tests(
      "ToolTests",
      [
        "ToolSupport", "LagoonClient", "LagKV", "Inspection", "Transformer", "Safetensors", "RunRecord",
        "TestSupport",
      ]),
  ],
  cxxLanguageStandard: .cxx17
)

// Coverage-guided fuzz targets need a sanitizer that ordinary builds do without: tools/fuzz/fuzz.sh builds and runs them.
if Context.environment["LAGOON_FUZZ"] != nil {
  func fuzz(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
      name: "fuzz-" + name, dependencies: dependencies + ["FuzzDriver"], path: "tools/fuzz/" + name,
      swiftSettings: strict)
  }
  package.targets += [
    .systemLibrary(name: "CLibFuzzer", path: "tools/fuzz/CLibFuzzer"),
    .target(
      name: "FuzzDriver", dependencies: ["CLibFuzzer"], path: "tools/fuzz/driver", swiftSettings: strict),
    fuzz("config", ["Transformer"]),
    fuzz("safetensors", ["Safetensors"]),
    fuzz("tokenizer", ["Tokenization"]),
  ]
}
