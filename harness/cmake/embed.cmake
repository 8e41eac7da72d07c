# dlm_embed(TARGET FILE NAME): compiles the text FILE into TARGET as the constant
#   namespace dlm::embedded { extern const std::string_view NAME; }
# which the .cc that needs it declares by that line. The text may not hold the delimiter )dlm_embed".
# Source of the build step is this file itself: cmake -DINPUT=... -DOUTPUT=... -DNAME=... -P embed.cmake
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${INPUT}" text)
  string(FIND "${text}" ")dlm_embed\"" delimiter_at)
  if(NOT delimiter_at EQUAL -1)
    message(FATAL_ERROR "${INPUT}: holds the delimiter of the string it is embedded in")
  endif()
  file(WRITE "${OUTPUT}" "#include <string_view>

namespace dlm::embedded {

extern const std::string_view ${NAME};
constinit const std::string_view ${NAME} = R\"dlm_embed(${text})dlm_embed\";

}  // namespace dlm::embedded
")
  return()
endif()

set(DLM_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(dlm_embed TARGET FILE NAME)
  get_filename_component(input ${FILE} ABSOLUTE)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded/${NAME}.cc)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${input} -DOUTPUT=${output} -DNAME=${NAME} -P ${DLM_EMBED_SCRIPT}
    DEPENDS ${input} ${DLM_EMBED_SCRIPT}
    COMMENT "Embedding ${FILE}"
    VERBATIM)
  target_sources(${TARGET} PRIVATE ${output})
endfunction()
