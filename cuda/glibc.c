// What glibc has since 2.32 and libstdc++ then asks: may it count references without atomics? Here never, so that the
// library also loads where there is no such variable.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
