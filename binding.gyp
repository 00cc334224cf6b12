# Built by `npm run build:native` (node-gyp). Sources, instruction sets and flags stand in native/sources.json.
{
  "variables": {
    "all_flags": ["<!@(node scripts/list-sources.cjs flags.all)"],
    "kernel_flags": ["<!@(node scripts/list-sources.cjs flags.all flags.kernels)"],
    "kernels": ["<!@(node scripts/list-sources.cjs kernels)"],
    "avx512%": "<!(node scripts/list-sources.cjs --avx512)"
  },
  "target_defaults": {
    "cflags!": ["-fno-exceptions", "-fno-omit-frame-pointer"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["<!(node -p \"require('node-api-headers').include_dir\")"],
    "defines": ["NAPI_VERSION=8"]
  },
  "targets": [
    {
      "target_name": "firesteel",
      "sources": ["<!@(node scripts/list-sources.cjs addon core)"],
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
          "cflags_cc": ["<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.base)"]
        },
        {
          "target_name": "avx2", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=avx2"],
          "cflags_cc": ["<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.avx2)"]
        }
      ]
    }],
    ["target_arch=='x64' and avx512==1", {
      "targets": [
        {
          "target_name": "avx512", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=avx512"],
          "cflags_cc": ["<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.avx512)"]
        }
      ]
    }],
    ["target_arch=='arm64'", {
      "targets": [
        {
          "target_name": "neon", "type": "static_library", "sources": ["<@(kernels)"],
          "defines": ["FIRESTEEL_ISA=neon"],
          "cflags_cc": ["<@(kernel_flags)", "<!@(node scripts/list-sources.cjs flags.neon)"]
        }
      ]
    }]
  ]
}
