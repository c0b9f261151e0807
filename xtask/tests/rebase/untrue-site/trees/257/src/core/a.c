/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "a.h"

static int one(int a) {
        int r;

        r = prepare(a);
        if (r < 0)
                return r;

        return finish(a);
}

static int two(int a) {
        int r;

        r = begin(a);
        if (r < 0)
                return r;

        return finish(a);
}

static int three(int a) {
        log(a);
        return 0;
}

