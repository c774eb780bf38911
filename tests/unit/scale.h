/*
 * How often something is done many times: less where the build makes everything slow.
 */
#ifndef REXEC_TESTS_UNIT_SCALE_H
#define REXEC_TESTS_UNIT_SCALE_H

#if defined(__SANITIZE_ADDRESS__)
#define SLOW_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOW_BUILD 1
#endif
#endif
#if !defined(SLOW_BUILD) && !defined(__OPTIMIZE__)
#define SLOW_BUILD 1
#endif
#ifndef SLOW_BUILD
#define SLOW_BUILD 0
#endif

/* n in a release build, a tenth under a sanitizer or without optimisation. */
#define SCALED(n) (SLOW_BUILD ? (n) / 10 : (n))

#endif
