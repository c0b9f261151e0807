static int apply_exec_quotas(const char *target, const char *cgroup_path) {
        assert(target);
        assert(cgroup_path);
        return 0;
}
