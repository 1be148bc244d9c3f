# TamisConfig.cmake - find_package(Tamis) and what it brings:
#
#   TAMIS_COMMAND         the command; -DTAMIS_COMMAND=... names another
#   Tamis::Tamis          a target with tamis.h and tamis_pthreadpool.h
#   tamis_add_model(TARGET FROM FILE [SHARED | STATIC] [NAME PREFIX]
#     [CPU NAME] [RECIPE NAME] [WEIGHTS FILE] [OPTIONS OPTION...])
#
# tamis_add_model makes a library target of a model (.tam, .onnx, .tflite).
# What links with it finds its header, PREFIX.h, of which PREFIX_run and all
# others begin with the prefix: by default the target's name.  The kind of
# library is that of add_library.  The model is compiled anew when it, what it
# reads, or the command changes; in a cross build for the target of the build.
# doc/abi.md has more.

cmake_policy(PUSH)
cmake_policy(VERSION 3.20)

# In a cross build the command is the build machine's.
get_filename_component(_tamis_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
find_program(TAMIS_COMMAND tamis
  HINTS "${_tamis_lib}/../bin" "${_tamis_lib}/../../bin"
  NO_CMAKE_FIND_ROOT_PATH)
if(NOT TAMIS_COMMAND)
  set(Tamis_NOT_FOUND_MESSAGE
    "the command tamis is not there: set TAMIS_COMMAND to it")
  set(Tamis_FOUND FALSE)
  cmake_policy(POP)
  return()
endif()

if(NOT TARGET Tamis::Tamis)
  find_path(TAMIS_INCLUDE_DIR tamis.h
    HINTS "${_tamis_lib}/../include" "${_tamis_lib}/../../include"
    NO_CMAKE_FIND_ROOT_PATH)
  add_library(Tamis::Tamis INTERFACE IMPORTED)
  if(TAMIS_INCLUDE_DIR)
    set_target_properties(Tamis::Tamis PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${TAMIS_INCLUDE_DIR}")
  endif()
endif()
unset(_tamis_lib)

# _tamis_target(OUT CPU): --target and --cpu where this is a cross build.  For
# the same kind of machine it is another one, too: its baseline, not `native`.
function(_tamis_target out cpu)
  set(machine "${CMAKE_SYSTEM_PROCESSOR}")
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    message(FATAL_ERROR "tamis_add_model: expected a build for Linux, found "
      "${CMAKE_SYSTEM_NAME}")
  elseif(machine MATCHES "^(x86_64|AMD64|amd64)$")
    set(options --target=x86_64-linux-gnu)
    set(baseline x86-64)
  elseif(machine MATCHES "^(aarch64|arm64|ARM64)$")
    set(options --target=aarch64-linux-gnu)
    set(baseline generic)
  else()
    message(FATAL_ERROR "tamis_add_model: expected a build for x86_64 or "
      "aarch64, found CMAKE_SYSTEM_PROCESSOR '${machine}'")
  endif()
  if(CMAKE_CROSSCOMPILING AND NOT cpu)
    set(cpu ${baseline})
  endif()
  if(cpu)
    list(APPEND options --cpu=${cpu})
  endif()
  set(${out} ${options} PARENT_SCOPE)
endfunction()

# _tamis_tools(OUT LANGUAGE): the build's own compiler joins the objects.
function(_tamis_tools out language)
  set(cc "${CMAKE_${language}_COMPILER}")
  if(CMAKE_${language}_COMPILER_TARGET)
    string(APPEND cc " --target=${CMAKE_${language}_COMPILER_TARGET}")
  endif()
  set(tools "CC=${cc}")
  if(CMAKE_OBJCOPY)
    list(APPEND tools "OBJCOPY=${CMAKE_OBJCOPY}")
  endif()
  set(${out} ${tools} PARENT_SCOPE)
endfunction()

# The language that links: C where the project has it.
function(_tamis_language out)
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  foreach(language C CXX)
    if(language IN_LIST languages)
      set(${out} ${language} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "tamis_add_model: expected a project with C or CXX")
endfunction()

function(tamis_add_model target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SHARED;STATIC"
    "FROM;NAME;CPU;RECIPE;WEIGHTS" "OPTIONS")
  if(NOT arg_FROM)
    message(FATAL_ERROR "tamis_add_model(${target}): expected FROM FILE")
  elseif(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tamis_add_model(${target}): expected FROM, NAME, "
      "CPU, RECIPE, WEIGHTS, OPTIONS, SHARED or STATIC, found "
      "'${arg_UNPARSED_ARGUMENTS}'")
  elseif(arg_SHARED AND arg_STATIC)
    message(FATAL_ERROR "tamis_add_model(${target}): expected SHARED or "
      "STATIC, found both")
  endif()
  if(NOT arg_NAME)
    string(MAKE_C_IDENTIFIER "${target}" arg_NAME)
  endif()
  get_filename_component(model "${arg_FROM}" ABSOLUTE)
  _tamis_language(language)
  _tamis_tools(tools ${language})
  _tamis_target(options "${arg_CPU}")
  if(arg_RECIPE)
    list(APPEND options --recipe=${arg_RECIPE})
  endif()
  if(arg_WEIGHTS)
    get_filename_component(weights "${arg_WEIGHTS}" ABSOLUTE)
    list(APPEND options --weights=${weights})
  endif()

  # A folder for each target: two may have one prefix.
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/tamis/${target}")
  set(object "${folder}/${arg_NAME}.o")
  set(header "${folder}/${arg_NAME}.h")
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(
    OUTPUT "${object}" "${header}"
    COMMAND "${CMAKE_COMMAND}" -E env ${tools} "${TAMIS_COMMAND}" build
      --emit=obj --prefix=${arg_NAME} ${options} ${arg_OPTIONS}
      -MF "${object}.d" -o "${object}" "${model}"
    DEPENDS "${model}" "${TAMIS_COMMAND}"
    DEPFILE "${object}.d"
    COMMENT "Compiling the model ${target}"
    VERBATIM)
  set_source_files_properties("${object}" PROPERTIES
    EXTERNAL_OBJECT TRUE GENERATED TRUE)

  set(kind)
  if(arg_SHARED)
    set(kind SHARED)
  elseif(arg_STATIC)
    set(kind STATIC)
  endif()
  add_library(${target} ${kind} "${object}" "${header}")
  set_target_properties(${target} PROPERTIES
    LINKER_LANGUAGE ${language} PUBLIC_HEADER "${header}")
  target_include_directories(${target} INTERFACE
    "$<BUILD_INTERFACE:${folder}>")
  target_link_libraries(${target} PRIVATE m)
endfunction()

cmake_policy(POP)
