#include "a.h"

static int other(int a) {
        log(a);
        return 1;
}

static int mount_legacy(int a) {
        int r;

        r = prepare(a);
        if (r < 0)
                return r;

        r = second(a);
        if (r < 0)
                return r;

        return finish(a);
}

static int mount_controllers(int a) {
        return mount_legacy(a);
}

