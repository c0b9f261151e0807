#include "a.h"

static int first(int a) {
        start();
        begin();
        more();
        most();
        int r;
        r = go(a);
        r++;
        r--;
        return r;
}

static int second(int a) {
        start();
        begin();
        more();
        most();
        int r;
        r = go(a);
        r++;
        r--;
        return r;
}

