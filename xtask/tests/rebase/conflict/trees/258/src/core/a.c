/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "a.h"

static int one(int a) {
        int r = -1;
        assert(a);
        r = prepare_all(a, 7);
        if (r <= 0)
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

