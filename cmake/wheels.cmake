# Finds torch, mujoco, Eigen and nlohmann/json inside the Python environment and makes imported
# targets of them. Nothing is imported (that takes seconds and may fail without a display or a
# GPU), and find_package(Torch) is avoided because on a CUDA wheel it demands nvcc.

function(twist_run_python out code)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "${code}"
                  OUTPUT_VARIABLE text OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    set(text "")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

# the folder of package `name` that holds `pattern` (a namespace package may have several folders)
function(twist_find_wheel out name pattern)
  twist_run_python(folders "import importlib.util as u; s = u.find_spec('${name}')
print(';'.join(s.submodule_search_locations) if s else '')")
  foreach(folder IN LISTS folders)
    file(GLOB found "${folder}/${pattern}")
    if(found)
      set(${out} "${folder}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/pyproject.toml" pin REGEX "\"${name}==" LIMIT_COUNT 1)
  string(REGEX REPLACE "[ \",]" "" pin "${pin}")
  message(FATAL_ERROR "${name} is not installed for ${Python_EXECUTABLE} (looked for ${pattern}). "
                      "Install it with:  \"${Python_EXECUTABLE}\" -m pip install ${pin}")
endfunction()

# ---- MuJoCo: only the fully versioned library exists, so it is linked by its path
twist_find_wheel(TWIST_MUJOCO_DIR mujoco "libmujoco.so.*")
file(GLOB mujoco_library "${TWIST_MUJOCO_DIR}/libmujoco.so.*")
list(LENGTH mujoco_library count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "expected one libmujoco.so.* in ${TWIST_MUJOCO_DIR}, found: ${mujoco_library}")
endif()
file(STRINGS "${TWIST_MUJOCO_DIR}/include/mujoco/mujoco.h" line REGEX "define mjVERSION_HEADER")
string(REGEX MATCH "[0-9]+$" TWIST_MUJOCO_VERSION_NUMBER "${line}")
string(REGEX REPLACE ".*libmujoco\\.so\\." "" TWIST_MUJOCO_VERSION "${mujoco_library}")
math(EXPR major "${TWIST_MUJOCO_VERSION_NUMBER} / 1000000")
math(EXPR minor "${TWIST_MUJOCO_VERSION_NUMBER} / 1000 % 1000")
math(EXPR patch "${TWIST_MUJOCO_VERSION_NUMBER} % 1000")
if(NOT TWIST_MUJOCO_VERSION STREQUAL "${major}.${minor}.${patch}")
  message(FATAL_ERROR "MuJoCo's header says ${major}.${minor}.${patch} but its library is "
                      "${TWIST_MUJOCO_VERSION}; reinstall the mujoco wheel (3.5.0 or newer)")
endif()
add_library(twist::mujoco SHARED IMPORTED)
set_target_properties(twist::mujoco PROPERTIES
  IMPORTED_LOCATION "${mujoco_library}"
  INTERFACE_INCLUDE_DIRECTORIES "${TWIST_MUJOCO_DIR}/include")

# ---- LibTorch: the same libraries for CPU and CUDA wheels
twist_find_wheel(TWIST_TORCH_DIR torch "lib/libtorch_cpu.so")
file(STRINGS "${TWIST_TORCH_DIR}/version.py" line REGEX "^__version__")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" TWIST_TORCH_VERSION "${line}")
if(TWIST_TORCH_VERSION VERSION_LESS 2.11 OR TWIST_TORCH_VERSION VERSION_GREATER_EQUAL 2.15)
  message(FATAL_ERROR "torch ${TWIST_TORCH_VERSION} is outside the supported range 2.11 to 2.14")
endif()
# public headers change their layout under these, so they must equal torch's own
set(targets_file "${TWIST_TORCH_DIR}/share/cmake/Caffe2/Caffe2Targets.cmake")
file(STRINGS "${targets_file}" line REGEX "INTERFACE_COMPILE_DEFINITIONS \"[A-Z]" LIMIT_COUNT 1)
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" torch_definitions "${line}")
string(REPLACE "\\;" ";" torch_definitions "${torch_definitions}")
if(NOT torch_definitions MATCHES "USE_DISTRIBUTED")
  message(FATAL_ERROR "no compile definitions of torch_cpu found in ${targets_file}")
endif()
add_library(twist::c10 SHARED IMPORTED)
set_target_properties(twist::c10 PROPERTIES IMPORTED_LOCATION "${TWIST_TORCH_DIR}/lib/libc10.so")
add_library(twist::torch SHARED IMPORTED)
set_target_properties(twist::torch PROPERTIES
  IMPORTED_LOCATION "${TWIST_TORCH_DIR}/lib/libtorch_cpu.so"
  INTERFACE_INCLUDE_DIRECTORIES
    "${TWIST_TORCH_DIR}/include;${TWIST_TORCH_DIR}/include/torch/csrc/api/include"
  INTERFACE_COMPILE_DEFINITIONS "${torch_definitions}"
  INTERFACE_LINK_LIBRARIES twist::c10)
add_library(twist::torch_python SHARED IMPORTED) # brings pybind11's headers along
set_target_properties(twist::torch_python PROPERTIES
  IMPORTED_LOCATION "${TWIST_TORCH_DIR}/lib/libtorch_python.so"
  INTERFACE_LINK_LIBRARIES twist::torch)

# ---- Eigen: what the user names, the cmeel-eigen wheel, an installed one
set(eigen_dir "${TWIST_EIGEN_DIR}")
if(NOT eigen_dir)
  twist_run_python(eigen_dir "import pathlib, sys
dirs = (pathlib.Path(p) / 'cmeel.prefix/include/eigen3' for p in sys.path)
print(next((d for d in dirs if (d / 'Eigen/Dense').exists()), ''))")
endif()
if(NOT eigen_dir)
  find_package(Eigen3 3.4 CONFIG)
  if(NOT Eigen3_FOUND)
    message(FATAL_ERROR "Eigen is missing. Install it with:  "
                        "\"${Python_EXECUTABLE}\" -m pip install \"cmeel-eigen>=3.4,<4\"")
  endif()
  get_target_property(eigen_dir Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
endif()
add_library(twist::eigen INTERFACE IMPORTED)
target_include_directories(twist::eigen INTERFACE "${eigen_dir}")
target_compile_definitions(twist::eigen INTERFACE EIGEN_MPL2_ONLY EIGEN_DONT_PARALLELIZE)

# ---- nlohmann/json: the wheel, or an installed one
twist_run_python(json_dir "import importlib.util as u, pathlib
s = u.find_spec('nlohmann_json')
print(pathlib.Path(s.origin).parent / 'include' if s else '')")
if(NOT json_dir)
  find_package(nlohmann_json 3.11 CONFIG)
  if(NOT nlohmann_json_FOUND)
    message(FATAL_ERROR "nlohmann/json is missing. Install it with:  "
                        "\"${Python_EXECUTABLE}\" -m pip install \"nlohmann-json>=3.11\"")
  endif()
  get_target_property(json_dir nlohmann_json::nlohmann_json INTERFACE_INCLUDE_DIRECTORIES)
endif()
add_library(twist::json INTERFACE IMPORTED)
target_include_directories(twist::json INTERFACE "${json_dir}")

message(STATUS "torch ${TWIST_TORCH_VERSION} (${torch_definitions}) in ${TWIST_TORCH_DIR}")
message(STATUS "mujoco ${TWIST_MUJOCO_VERSION} in ${TWIST_MUJOCO_DIR}")
message(STATUS "Eigen in ${eigen_dir}")
