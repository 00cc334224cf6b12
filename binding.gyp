# Built by `npm run build:native` (node-gyp). Sources, instruction sets and flags stand in native/sources.json.
{
  "variables": {
    "all_flags": ["<!@(node scripts/list-sources.cjs flags.all)"],
    # Every kernel file reads prefix.h first, precompiled where scripts/build-native.mjs has done so. The compiler runs in build.
    "kernel_flags": [
      "<!@(node scripts/list-sources.cjs flags.all flags.kernels)",
      "-include", "prefix.h", "-iquote../native/cpu", "-Winvalid-pch", "-Wno-error=invalid-pch"
    ],
    "kernels": ["<!@(node scripts/list-sources.cjs kernels)"],
    "avx512%": "<!(node scripts/list-sources.cjs --avx512)"
  },
  "target_defaults": {
    "cflags!": ["-fno-omit-frame-pointer"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["<!(node -p \"require('node-api-headers').include_dir\")"],
    "defines": ["NAPI_VERSION=8"],
    # Of no meaning on 64 bits, but precompiled headers want the same macros.
    "defines!": ["_FILE_OFFSET_BITS=64", "_LARGEFILE_SOURCE"]
  },
  "targets": [
    {
      "target_name": "firesteel",
      "sources": ["<!@(node scripts/list-sources.cjs addon core)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      # An error that Node refuses because its environment ends is dropped, where it would end the process.
      "defines": ["NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      # node-gyp's own; kernels have neither.
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      "cflags_cc": ["<@(all_flags)"],
      "conditions": [
        ["target_arch=='x64'", {"dependencies": ["base", "avx2"]}],
        ["target_arch=='x64' and avx512==1", {"dependencies": ["avx512"]}],
        ["target_arch=='x64' and avx512==0", {"defines": ["FIRESTEEL_WITHOUT_AVX512"]}],
        ["target_arch=='arm64'", {"dependencies": ["neon"]}]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "base", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=base"],
          "cflags_cc": ["-iquoteprecompiled/base", "<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.base)"]
        },
        {
          "target_name": "avx2", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=avx2"],
          "cflags_cc": ["-iquoteprecompiled/avx2", "<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.avx2)"]
        }
      ]
    }],
    ["target_arch=='x64' and avx512==1", {
      "targets": [
        {
          "target_name": "avx512", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=avx512"],
          "cflags_cc": ["-iquoteprecompiled/avx512", "<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.avx512)"]
        }
      ]
    }],
    ["target_arch=='arm64'", {
      "targets": [
        {
          "target_name": "neon", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=neon"],
          "cflags_cc": ["-iquoteprecompiled/neon", "<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.neon)"]
        }
      ]
    }]
  ]
}
