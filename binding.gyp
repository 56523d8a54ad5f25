# What npm, node-gyp and editors find. It only delegates: native/CMakeLists.txt is the one list of sources.
# The output is build/cmake/Release/atoll.node.
{
  "targets": [
    {
      "target_name": "atoll",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": [],
          "outputs": ["<(PRODUCT_DIR)/atoll.made"],
          # make runs an action again when its words have changed: always. CMake knows what is out of date.
          "action": ["bash", "scripts/lib/build_addon.sh", "<!(date +%s)"]
        }
      ]
    }
  ]
}
