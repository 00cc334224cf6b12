# What node-gyp wants to read of Node's own build, so that it downloads nothing: Node-API needs none of it.
{
  'variables': { 'standalone_static_library%': 0 },
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': { 'Release': { 'defines': ['NDEBUG'] }, 'Debug': { 'cflags': ['-g'] } },
    'ldflags': ['-pthread'],
  },
}
