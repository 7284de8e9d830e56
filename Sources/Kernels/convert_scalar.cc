// Scalar twins of convert.cc.
#include "elements.h"

using namespace lagoon;

extern "C" void lagoon_convert_scalar(const void *source, uint8_t sourceType, void *destination,
                                      uint8_t destinationType, size_t count) {
  if (!IsType(sourceType) || !IsType(destinationType)) return;
  if (sourceType == destinationType) {
    std::memcpy(destination, source, count * ElementBytes(sourceType));
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    StoreElement(LoadElement(source, sourceType, i), destination, destinationType, i);
  }
}

extern "C" ptrdiff_t lagoon_first_nonfinite_scalar(const void *elements, uint8_t type, size_t count) {
  if (!IsType(type)) return -1;
  for (size_t i = 0; i < count; ++i) {
    if (!IsFiniteElement(elements, type, i)) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}
