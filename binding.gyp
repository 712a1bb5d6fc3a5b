# The users' build, through node-gyp: the addon, and with -Dtidegate_executables=1 also what the
# tests and benches run. The developers' build is CMakeLists.txt; both read native/sources.list.
{
  'variables': {
    'tidegate_executables%': 0,
    # OpenSSL's headers are Node's own. The addon finds the library in the process; programs link the
    # system's, which keeps the same interface.
    'openssl_libraries': ['-lssl', '-lcrypto'],
  },
  'target_defaults': {
    'include_dirs': ['native'],
    'cflags!': ['-Wno-unused-parameter'],
    'cflags': [
      '-Wall',
      '-Wextra',
      '-Wpedantic',
      # g++ 12 sees overlaps in std::string that are not there (GCC bug 105651).
      '-Wno-restrict',
      '-Werror',
      '-fvisibility=hidden',
      '-fno-plt',
      '-g1',
    ],
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
    'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti', '-fvisibility-inlines-hidden'],
    'default_configuration': 'Release',
  },
  'targets': [
    {
      'target_name': 'tidegate_core',
      'type': 'static_library',
      'sources': ['<!@(node tools/native-sources.mjs core)'],
      'cflags': ['-fPIC'],
    },
    {
      'target_name': 'tidegate',
      'dependencies': ['tidegate_core'],
      'sources': ['<!@(node tools/native-sources.mjs native/addon)'],
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'],
      # The core's symbols stay inside, so that it also calls its own operator new.
      'ldflags': ['-Wl,--exclude-libs,ALL'],
      # As system headers, so that our warnings are about our code.
      'cflags_cc': ['-isystem', '<!(node -p "path.dirname(require.resolve(\'node-addon-api\'))")'],
    },
  ],
  'conditions': [
    ['tidegate_executables==1', {
      'targets': [
        {
          'target_name': 'native_tests',
          'type': 'executable',
          'dependencies': ['tidegate_core'],
          'libraries': ['<@(openssl_libraries)'],
          'include_dirs': ['test/native'],
          'sources': ['<!@(node tools/native-sources.mjs test/native)'],
          # Compiled more often than it pays to optimise.
          'configurations': { 'Release': { 'cflags!': ['-O3'], 'cflags': ['-O1'] } },
        },
        {
          'target_name': 'tidegate_host',
          'type': 'executable',
          'dependencies': ['tidegate_core'],
          'libraries': ['<@(openssl_libraries)'],
          'sources': ['<!@(node tools/native-sources.mjs native/host)'],
        },
        {
          'target_name': 'bench_parts',
          'type': 'static_library',
          'dependencies': ['tidegate_core'],
          'sources': [
            '<!@(node tools/native-sources.mjs parts bench/common bench/floor bench/load bench/origin)',
          ],
        },
        {
          'target_name': 'bench_floor',
          'type': 'executable',
          'dependencies': ['bench_parts'],
          'sources': ['bench/floor/main.cc'],
        },
        {
          'target_name': 'bench_load',
          'type': 'executable',
          'dependencies': ['bench_parts'],
          'libraries': ['<@(openssl_libraries)'],
          'sources': ['bench/load/main.cc'],
        },
        {
          'target_name': 'bench_origin',
          'type': 'executable',
          'dependencies': ['bench_parts'],
          'sources': ['bench/origin/main.cc'],
        },
        {
          'target_name': 'bench_crossing',
          'dependencies': ['tidegate_core'],
          'sources': [
            'bench/micro/crossing/addon.cc',
            'native/addon/async_bell.cc',
            'native/addon/policy_port_object.cc',
            'native/addon/values.cc',
          ],
          'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'],
          'ldflags': ['-Wl,--exclude-libs,ALL'],
          'cflags_cc': ['-isystem', '<!(node -p "path.dirname(require.resolve(\'node-addon-api\'))")'],
        },
      ],
    }],
  ],
}
