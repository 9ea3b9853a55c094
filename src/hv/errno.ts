/** Linux error numbers as an ioctl's caller sees them: negative. */
export const EPERM = -1
export const ENOENT = -2
export const ENXIO = -6
export const E2BIG = -7
export const EBADF = -9
export const EAGAIN = -11
export const ENOMEM = -12
export const EFAULT = -14
export const EBUSY = -16
export const EEXIST = -17
export const EINVAL = -22
export const ENOSYS = -38
