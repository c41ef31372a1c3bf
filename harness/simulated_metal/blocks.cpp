// A copied block owns the objects that it captured. libBlocksRuntime leaves that to a garbage collector, so these two of its
// functions are replaced: link with -Wl,--wrap=_Block_object_assign,--wrap=_Block_object_dispose.
extern "C" {
void __real__Block_object_assign(void* to, const void* object, const int flags);
void __real__Block_object_dispose(const void* object, const int flags);
void* objc_retain(void* object);
void objc_release(void* object);

constexpr int kFieldIsObject = 3;  // Of the blocks' ABI.

void __wrap__Block_object_assign(void* to, const void* object, const int flags) {
  if (flags == kFieldIsObject) {
    *static_cast<const void**>(to) = objc_retain(const_cast<void*>(object));
  } else {
    __real__Block_object_assign(to, object, flags);
  }
}

void __wrap__Block_object_dispose(const void* object, const int flags) {
  if (flags == kFieldIsObject) {
    objc_release(const_cast<void*>(object));
  } else {
    __real__Block_object_dispose(object, flags);
  }
}
}
