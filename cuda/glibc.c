// libstdc++ reads this variable of glibc 2.32 and later to decide whether it can count references without atomics. This
// definition, always 0, lets the library load with older versions of glibc too.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
