/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The system calls since Linux 6.2, as far as this kernel has them, whose
 * numbers are the same for all programs; with the kernel's own names of the
 * arguments. A table: vtrace_event.h says what its words mean.
 */

#if __NR_syscalls > 451
SYSCALL(451, cachestat, IN(0, U32, fd) IN(1, U64, cstat_range)
	OUT(2, U64, cstat) IN(3, U32, flags))
#endif
#if __NR_syscalls > 453
SYSCALL(452, fchmodat2, IN(0, S32, dfd) IN(1, STR, filename) IN(2, U16, mode)
	IN(3, U32, flags))
SYSCALL_RET(453, map_shadow_stack, X64, IN(0, X64, addr) IN(1, U64, size)
	IN(2, U32, flags))
#endif
#if __NR_syscalls > 456
SYSCALL(454, futex_wake, IN(0, U64, uaddr) IN(1, X64, mask) IN(2, S32, nr)
	IN(3, U32, flags))
SYSCALL(455, futex_wait, IN(0, U64, uaddr) IN(1, U64, val) IN(2, X64, mask)
	IN(3, U32, flags) IN(4, U64, timespec) IN(5, S32, clockid))
SYSCALL(456, futex_requeue, IN(0, U64, waiters) IN(1, U32, flags)
	IN(2, S32, nr_wake) IN(3, S32, nr_requeue))
#endif
#if __NR_syscalls > 461
SYSCALL(457, statmount, IN(0, U64, req) OUT(1, U64, buf) IN(2, U64, bufsize)
	IN(3, U32, flags))
SYSCALL(458, listmount, IN(0, U64, req) OUT(1, U64, mnt_ids)
	IN(2, U64, nr_mnt_ids) IN(3, U32, flags))
SYSCALL(459, lsm_get_self_attr, IN(0, U32, attr) OUT(1, U64, ctx)
	INOUT(2, U64, size) IN(3, U32, flags))
SYSCALL(460, lsm_set_self_attr, IN(0, U32, attr) IN(1, U64, ctx)
	IN(2, U32, size) IN(3, U32, flags))
SYSCALL(461, lsm_list_modules, OUT(0, U64, ids) INOUT(1, U64, size)
	IN(2, U32, flags))
#endif
#if __NR_syscalls > 462
SYSCALL(462, mseal, IN(0, U64, start) IN(1, U64, len) IN(2, U64, flags))
#endif
#if __NR_syscalls > 466
SYSCALL(463, setxattrat, IN(0, S32, dfd) IN(1, STR, path) IN(2, U32, at_flags)
	IN(3, STR, name) IN(4, U64, args) IN(5, U64, size))
SYSCALL(464, getxattrat, IN(0, S32, dfd) IN(1, STR, path) IN(2, U32, at_flags)
	IN(3, STR, name) INOUT(4, U64, args) IN(5, U64, size))
SYSCALL(465, listxattrat, IN(0, S32, dfd) IN(1, STR, path) IN(2, U32, at_flags)
	OUT(3, U64, list) IN(4, U64, size))
SYSCALL(466, removexattrat, IN(0, S32, dfd) IN(1, STR, path)
	IN(2, U32, at_flags) IN(3, STR, name))
#endif
#if __NR_syscalls > 467
SYSCALL(467, open_tree_attr, IN(0, S32, dfd) IN(1, STR, path) IN(2, U32, flags)
	IN(3, U64, uattr) IN(4, U64, usize))
#endif
#if __NR_syscalls > 469
SYSCALL(468, file_getattr, IN(0, S32, dfd) IN(1, STR, filename)
	OUT(2, U64, attr) IN(3, U64, usize) IN(4, U32, at_flags))
SYSCALL(469, file_setattr, IN(0, S32, dfd) IN(1, STR, filename)
	IN(2, U64, attr) IN(3, U64, usize) IN(4, U32, at_flags))
#endif
#if __NR_syscalls > 470
SYSCALL(470, listns, IN(0, U64, req) OUT(1, U64, ns_ids) IN(2, U64, nr_ns_ids)
	IN(3, U32, flags))
#endif
#if __NR_syscalls > 471
SYSCALL(471, rseq_slice_yield)
#endif
